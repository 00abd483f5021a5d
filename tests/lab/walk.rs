//! The guided walk, seen and typed through a pseudo-terminal.

use serde_json::json;

use super::api::Cluster;
use super::bench::{Bench, eventually, kill, start};
use super::screen::{CTRL_C, CTRL_Z, ENTER, ESCAPE, Terminal};

const USUAL: (u16, u16) = (24, 80);

#[test]
fn without_a_terminal_there_is_help_and_no_walk() {
    let bench = Bench::new();
    let help = bench.run(&[]);
    assert_eq!(help.code, 0, "{help:?}");
    assert!(help.out.contains("canary-lab walk"), "{}", help.out);
    let walk = bench.run(&["walk"]);
    assert_eq!(walk.code, 2, "{walk:?}");
    assert!(walk.err.contains("needs a terminal") && walk.err.contains("canary-lab up"), "{}", walk.err);
    assert!(!bench.home().exists());
}

#[test]
fn pages_fit_every_terminal_and_follow_its_size() {
    let bench = Bench::new();
    // Plain `canary-lab` on a terminal is the walk.
    let mut terminal = Terminal::start(&bench, &[], USUAL, &[]);
    terminal.expect("[enter] begin");
    // It holds the lab, and who is kept from it hears how to end it.
    let up = bench.tiny(&["up"]);
    assert!(
        up.code == 4 && up.err.contains("canary-lab walk") && up.err.contains("q in the walk's terminal"),
        "{up:?}"
    );
    terminal.type_keys(ENTER);
    terminal.expect("1/13  Is this machine ready?");
    assert!(terminal.text().contains("[h] hint"), "{}", terminal.text());
    for (rows, columns) in [(24, 40), (12, 40), (50, 160), (24, 80)] {
        terminal.resize(rows, columns);
        let last = usize::from(rows) - 1;
        terminal.wait_for("the keys stand in the last line", |terminal| {
            let lines = terminal.lines();
            lines[last].contains("quit") && lines.iter().filter(|line| line.contains("─────")).count() == 2
        });
        assert!(terminal.text().contains("1/13"), "{}", terminal.text());
    }
    terminal.type_keys("e");
    terminal.expect("explained");
    terminal.type_keys(ESCAPE);
    // A key right behind escape would be read as the rest of a longer key.
    terminal.wait_for("the explanation is gone", |terminal| !terminal.text().contains("explained"));
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
    assert!(terminal.text().contains("0 of 13 stages are proven"), "{}", terminal.text());
}

#[test]
fn without_colour_nothing_is_lost() {
    let bench = Bench::new();
    let mut terminal = Terminal::start(&bench, &["walk"], (24, 40), &[("NO_COLOR", "1")]);
    terminal.expect("[enter] begin");
    terminal.type_keys(ENTER);
    terminal.expect("○○○");
    terminal.type_keys("l");
    terminal.expect("Go to a stage");
    terminal.type_keys(ESCAPE);
    terminal.expect("1/13");
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
    let written = String::from_utf8_lossy(&terminal.written).into_owned();
    let styles = written.split("\x1b[").skip(1).filter(|sequence| {
        let end = sequence.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(0);
        // Resetting is no colour.
        sequence[end..].starts_with('m') && !["", "0"].contains(&&sequence[..end])
    });
    assert_eq!(styles.count(), 0, "{written:?}");
}

#[test]
fn ctrl_c_ends_it_everywhere_and_gives_the_terminal_back() {
    let bench = Bench::new();
    let at = |keys: &[(&str, &str)]| {
        let mut terminal = Terminal::start(&bench, &["walk"], USUAL, &[]);
        terminal.expect("quit");
        for (key, words) in keys {
            terminal.type_keys(key);
            terminal.expect(words);
        }
        terminal.type_keys(CTRL_C);
        assert_eq!(terminal.ended(), 130, "{keys:?}\n{}", terminal.text());
        assert!(terminal.text().contains("INTERRUPTED"), "{keys:?}\n{}", terminal.text());
    };
    let first = (ENTER, "1/13");
    at(&[]);
    at(&[first]);
    at(&[first, ("l", "Go to a stage")]);
    at(&[first, ("a", "0.0.0.0:8501")]);
    // A confirmation: a later stage wants the ones before it.
    at(&[first, ("n", "2/13"), (ENTER, "comes first")]);
    let mut terminal = Terminal::start(&bench, &["walk"], USUAL, &[]);
    terminal.expect("quit");
    bench.interrupt_walk();
    assert_eq!(terminal.ended(), 130);
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_back() {
    let bench = Bench::new();
    let mut terminal = Terminal::start_in_shell(&bench, &["walk"], "echo stopped; read line; fg; echo over", USUAL);
    terminal.expect("[enter] begin");
    terminal.type_keys(ENTER);
    terminal.expect("1/13");
    terminal.type_keys(CTRL_Z);
    terminal.wait_for("the shell has the terminal", |terminal| terminal.lines().iter().any(|line| line == "stopped"));
    terminal.assert_given_back();
    terminal.type_keys(ENTER);
    terminal.expect("1/13  Is this machine ready?");
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
    assert!(terminal.lines().iter().any(|line| line == "over"), "{}", terminal.text());
}

#[test]
fn ctrl_z_gives_the_terminal_back_while_a_stage_is_worked_on() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "namespace"]).code, 0);
    let mut terminal = Terminal::start_in_shell(&bench, &["walk"], "echo stopped; read line; fg; echo over", USUAL);
    terminal.wait_for("the first stage that is not done", |terminal| {
        terminal.text().contains("7/13") && terminal.text().contains("do it for me")
    });
    // Without its model the pod is not ready, so the stage is at work for as long as it takes.
    let (model, aside) = (bench.home().join("models/resnet50"), bench.home().join("models/aside"));
    std::fs::rename(&model, &aside).unwrap();
    terminal.type_keys(ENTER);
    terminal.expect("deployment image-classifier-resnet50 created by the lab, 0/1 ready");
    terminal.expect("working ·");
    terminal.type_keys(CTRL_Z);
    terminal.wait_for("the shell has the terminal", |terminal| terminal.lines().iter().any(|line| line == "stopped"));
    terminal.assert_given_back();
    terminal.type_keys(ENTER);
    terminal.expect("working ·");
    std::fs::rename(&aside, &model).unwrap();
    terminal.expect("go on");
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
    assert!(terminal.text().contains("7 of 13 stages are proven"), "{}", terminal.text());
}

#[test]
fn a_learner_types_and_the_walk_sees_it() {
    let bench = Bench::new();
    let mut terminal = Terminal::start(&bench, &["walk"], (40, 100), &[]);
    terminal.expect("begin");
    terminal.type_keys(ENTER);
    // The lab does the first three, and the fifth.
    for stage in 1..=3 {
        terminal.expect(&format!("{stage}/13"));
        terminal.type_keys(ENTER);
        terminal.expect("go on");
        terminal.type_keys(ENTER);
    }
    // A tunnel by hand is seen to come and to go.
    terminal.expect("4/13  An address for the door");
    let mut tunnel = start(bench.tiny_command(&["tunnel"]));
    terminal.expect("service istio-ingressgateway changed by you, EXTERNAL-IP 127.");
    terminal.expect("go on");
    kill(tunnel.id(), "-INT");
    assert!(tunnel.wait().unwrap().success());
    terminal.expect("EXTERNAL-IP <pending>");
    terminal.expect("Not yet");
    for stage in 4..=5 {
        terminal.expect(&format!("{stage}/13"));
        terminal.type_keys(ENTER);
        terminal.expect("go on");
        terminal.type_keys(ENTER);
    }
    terminal.expect("6/13  A room for the models");
    terminal.type_keys("d");
    terminal.expect("Namespace tf-serving");
    terminal.type_keys("h");
    terminal.expect("asks for sidecars");

    // The learner does the next one, in two steps; the walk sees both and checks by itself. What happens while a prompt
    // stands is not missed.
    let cluster = Cluster::of(&bench);
    let named = |name: &str| json!({"metadata": {"name": name}});
    terminal.type_keys("l");
    terminal.expect("Go to a stage");
    cluster.create("namespaces", "", &named("tf-serving"));
    terminal.type_keys(ESCAPE);
    terminal.expect("namespace tf-serving created by you");
    terminal.expect("Not yet");
    cluster.patch("namespaces", "", "tf-serving", &json!({"metadata": {"labels": {"istio-injection": "enabled"}}}));
    terminal.expect("tf-serving, istio-injection=enabled");
    terminal.expect("go on");
    let status = bench.json(&["status"]);
    let made = status["inventory"].as_array().unwrap().iter().find(|item| item["name"] == "tf-serving").unwrap();
    assert_eq!(made["creator"], "learner", "{made}");

    // The rest by enter, with the division and the picture on the way.
    terminal.type_keys(ENTER);
    for stage in 7..=13 {
        terminal.expect(&format!("{stage}/13"));
        terminal.type_keys(ENTER);
        terminal.expect("go on");
        match stage {
            9 => terminal.expect("answered by resnet50"),
            12 => terminal.expect("wanted 70 %"),
            _ => {}
        }
        terminal.type_keys(ENTER);
    }
    terminal.expect("What was learned");
    terminal.type_keys("\x1b[F");
    terminal.expect("down");

    // A stage that is undone behind the walk's back is seen, whichever page is shown.
    cluster.delete("destinationrules", "tf-serving", "image-classifier");
    terminal.expect("destinationrule image-classifier deleted by you");
    terminal.expect("Stage 10 (Subsets) does not hold any more");
    for stage in (10..=13).rev() {
        terminal.type_keys("b");
        terminal.expect(&format!("{stage}/13"));
    }
    terminal.expect("It was proven before and does not hold any more");
    terminal.type_keys("h");
    terminal.expect("destinationrule-missing");
    terminal.type_keys(ENTER);
    terminal.expect("go on");
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
    assert!(terminal.text().contains("13 of 13 stages are proven"), "{}", terminal.text());
    eventually("the lock is free", std::time::Duration::from_secs(5), || bench.tiny(&["verify"]).code != 4);
}
