//! Homes that stand in the way: locks, states of others, directories that cannot be written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use canary_lab::state::{Home, Lock};

use super::bench::{Bench, ended, eventually, finish, project, start};

#[test]
fn a_second_command_hears_who_holds_the_lock() {
    let bench = Bench::new();
    let home = Home::at(bench.home());
    home.prepare().unwrap();
    let lock = Lock::take(&home, "up", "2026-01-02T03:04:05Z".parse().unwrap()).unwrap();
    let second = bench.tiny(&["up"]);
    drop(lock);
    assert_eq!(second.code, 4, "{second:?}");
    assert!(second.err.contains("HOME_LOCKED"), "{}", second.err);
    assert!(second.err.contains(&format!("process {}", std::process::id())), "{}", second.err);
    assert!(second.err.contains("since 2026-01-02T03:04:05Z"), "{}", second.err);
}

#[test]
fn a_newer_state_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    fs::create_dir_all(bench.home()).unwrap();
    let text = r#"{"format":"canary-lab state","version":99,"state":{"shape":"unheard of"}}"#;
    let file = bench.home().join("state.json");
    fs::write(&file, text).unwrap();
    for command in ["up", "status", "verify", "down"] {
        let ended = bench.tiny(&[command]);
        assert_eq!(ended.code, 4, "{command}: {ended:?}");
        assert!(ended.err.contains("STATE_NEWER"), "{command}: {}", ended.err);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    fs::remove_file(file).unwrap();
}

#[test]
fn an_unusable_state_is_kept_aside_and_named() {
    let bench = Bench::new();
    fs::create_dir_all(bench.home()).unwrap();
    for text in ["", "{\"format\":\"canary-lab state\",\"vers", "{\"apiVersion\":\"v1\"}", "not JSON"] {
        fs::write(bench.home().join("state.json"), text).unwrap();
        let up = bench.tiny(&["up", "--until", "preflight"]);
        assert_eq!(up.code, 0, "{up:?}");
        assert!(up.err.contains("STATE_SET_ASIDE"), "{}", up.err);
        let kept = fs::read_dir(bench.home()).unwrap().flatten().map(|entry| entry.path());
        let kept: Vec<_> = kept.filter(|path| path.to_str().unwrap().contains("state.json.aside-")).collect();
        assert!(kept.iter().any(|path| fs::read_to_string(path).unwrap() == text), "{text:?} is kept");
        assert!(kept.iter().any(|path| up.err.contains(path.file_name().unwrap().to_str().unwrap())), "{}", up.err);
    }
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    let file = bench.directory().join("file");
    fs::write(&file, "in the way").unwrap();
    let home = file.join("home");
    let ended = bench.run(&["--home", home.to_str().unwrap(), "up"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("HOME_NOT_WRITABLE") && ended.err.contains("file/home"), "{}", ended.err);
}

#[test]
fn another_users_home_is_named() {
    if !is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let bench = Bench::new();
    fs::set_permissions(bench.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(bench.home()).unwrap();
    // The binary may lie in a directory that the other user cannot enter.
    let binary = bench.directory().join("canary-lab");
    // Copied by another process: a descriptor of ours that is open for writing could leak into a test beside this one.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_canary-lab")).arg(&binary).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary).args(["up"]);
    command.env("CANARY_LAB_HOME", bench.home()).env("HOME", "/nonexistent");
    let ended = finish(command);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("HOME_NOT_WRITABLE") && ended.err.contains("ermission denied"), "{}", ended.err);
    fs::remove_dir(bench.home()).unwrap();
}

#[test]
fn a_full_home_is_told_from_a_forbidden_one() {
    if !is_root() {
        println!("skipped: only root can mount a small file system");
        return;
    }
    let bench = Bench::new();
    let home = bench.home();
    fs::create_dir(&home).unwrap();
    // A mount namespace of its own, so that nothing of it is left whatever happens.
    let script = format!(
        "mount -t tmpfs -o size=64k none '{0}' && head -c 1m /dev/zero > '{0}/fill' 2>/dev/null; exec '{1}' up",
        home.display(),
        env!("CARGO_BIN_EXE_canary-lab")
    );
    let started = Instant::now();
    let output =
        Command::new("unshare").args(["-m", "sh", "-c", &script]).env("CANARY_LAB_HOME", &home).output().unwrap();
    let ended = ended(&output, started.elapsed());
    if ended.err.contains("mount:") {
        println!("skipped: no mounts here: {}", ended.err);
        return;
    }
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("HOME_FULL"), "{}", ended.err);
}

/// Run by the test below in a mount namespace of its own, where the home is a small file system.
#[test]
#[ignore = "only the test below runs it"]
fn inside_a_mount_namespace() {
    let bench = Bench::new();
    fs::create_dir(bench.home()).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=720m", "none"]).arg(bench.home()).output().unwrap();
    if !mounted.status.success() {
        println!("no mounts here: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    let all = std::env::var("CANARY_LAB_CRASH_POINTS").is_ok_and(|which| which == "all");
    let phases: &[&str] = if all {
        &["cluster", "istio", "models", "namespace", "resnet50", "ingress", "canary-0", "by-header"]
    } else {
        &["models", "resnet50"]
    };
    for (number, phase) in phases.iter().enumerate() {
        let begun = format!("\"event\":\"stage-started\",\"stage\":\"{phase}\"");
        let runs = bench.home().join("runs");
        let before = fs::read_dir(&runs).into_iter().flatten().count();
        let child = start(bench.tiny_command(&["up"]));
        let events = runs.join(format!("{:04}/events.jsonl", before + 1));
        eventually("the stage begins", Duration::from_mins(2), || {
            fs::read_to_string(&events).is_ok_and(|text| text.contains(&begun))
        });
        let fill = bench.home().join("fill");
        let mut file = fs::File::create(&fill).unwrap();
        let block = vec![1_u8; 1 << 20];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        while std::io::Write::write_all(&mut file, &block[..1 << 10]).is_ok() {}
        drop(file);
        let output = child.wait_with_output().unwrap();
        let ended = ended(&output, Duration::ZERO);
        // A run that was through before it had anything to write has nothing to complain of.
        let told = ["HOME_FULL", "DISK_LOW", "space", "room", "read-only"].iter().any(|word| ended.err.contains(word));
        assert!(ended.code == 0 || told, "full at {phase}: {ended:?}");
        println!("full at {phase}: code {}", ended.code);
        fs::remove_file(fill).unwrap();
        let up = bench.tiny(&["up"]);
        assert_eq!(up.code, 0, "after a full disk at {phase}: {}\n{}", up.out, up.err);
        if number + 1 < phases.len() {
            assert_eq!(bench.tiny(&["reset"]).code, 0);
            fs::remove_dir_all(bench.home().join("models")).unwrap();
            fs::remove_dir_all(bench.home().join("cache")).unwrap();
        }
    }
    let down = bench.tiny(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(fs::read_dir(bench.home()).unwrap().count(), 0);
    println!("every phase went through");
    assert!(Command::new("umount").arg(bench.home()).status().unwrap().success());
}

#[test]
fn a_disk_that_fills_up_is_told_and_the_next_up_goes_on() {
    if !is_root() {
        println!("skipped: only root can mount a small file system");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m"]).arg(program).args(["--exact", "homes::inside_a_mount_namespace", "--ignored", "--nocapture"]);
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    if out.contains("no mounts here") {
        println!("skipped: {out}");
        return;
    }
    assert!(
        output.status.success() && out.contains("every phase went through"),
        "{out}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn another_lab_does_not_move_in() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "cluster"]).code, 0);
    let other = project().join("lab/tensorflow-canary");
    let in_the_way = |args: &[&str], variable: Option<&str>| {
        let mut command = bench.command(args);
        command.envs(variable.map(|lab| ("CANARY_LAB_LAB", lab)));
        let ended = finish(command);
        assert_eq!(ended.code, 4, "{args:?}: {ended:?}");
        assert!(ended.err.contains("HOME_OTHER_LAB") && ended.err.contains("`tiny`"), "{}", ended.err);
    };
    let other = other.to_str().unwrap();
    for args in [&["up"][..], &["status"], &["verify"], &["reset"], &["diagnose"], &["down"], &["down", "--force"]] {
        in_the_way(&[&["--lab", other], args].concat(), None);
        in_the_way(args, Some(other));
    }
    assert_eq!(bench.tiny(&["verify"]).code, 0, "nothing was touched");
    // A terminal that was made for the lab tells other programs which it is.
    let exported = bench.tiny(&["env"]).out;
    let lab = exported.lines().find_map(|line| line.strip_prefix("export CANARY_LAB_LAB=")).unwrap();
    assert_eq!(lab.trim_matches('\''), project().join("lab/tiny").to_str().unwrap());
}

#[test]
fn records_that_do_not_say_where_the_lab_is_are_told_from_another_lab() {
    let bench = Bench::new();
    fs::create_dir_all(bench.home()).unwrap();
    let text = r#"{"format":"canary-lab state","version":1,"state":{"lab":"tiny"}}"#;
    fs::write(bench.home().join("state.json"), text).unwrap();
    let status = bench.run(&["status"]);
    assert_eq!(status.code, 4, "{status:?}");
    assert!(status.err.contains("HOME_OTHER_LAB") && status.err.contains("canary-lab --lab DIR"), "{}", status.err);
    assert_eq!(bench.tiny(&["status"]).code, 0);
    assert_eq!(bench.tiny(&["down", "--purge"]).code, 0);
}

#[test]
fn a_home_knows_its_lab() {
    let bench = Bench::new();
    assert_eq!(bench.tiny(&["up", "--until", "subsets"]).code, 0);
    let status = bench.run(&["status"]);
    assert!(status.code == 0 && status.out.starts_with("lab tiny "), "{status:?}");
    let verify = bench.run(&["verify"]);
    assert_eq!(verify.code, 0, "{}\n{}", verify.out, verify.err);
    let reset = bench.run(&["reset", "--to", "predict"]);
    assert_eq!(reset.code, 0, "{}\n{}", reset.out, reset.err);
    let up = bench.run(&["up", "--until", "subsets"]);
    assert!(up.code == 0 && up.out.contains("lab tiny "), "{up:?}");
    let bundle = bench.directory().join("bundle.tar.gz");
    assert_eq!(bench.run(&["diagnose", "-o", bundle.to_str().unwrap()]).code, 0);
    // What the lab has made is nobody else's.
    for args in [&["down", "--dry-run"][..], &["down", "--keep-cluster", "--dry-run"]] {
        let listed = bench.run(args);
        assert_eq!(listed.code, 0, "{listed:?}");
        for word in ["changed since", "not the lab's", "do not know", "yours"] {
            assert!(!listed.out.contains(word), "{args:?} {word}: {}", listed.out);
        }
    }
    let down = bench.run(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(!bench.home().exists(), "{}", down.out);
}

#[test]
fn a_lab_whose_files_are_gone_is_named_and_goes() {
    let bench = Bench::new();
    let copy = bench.directory().join("copy");
    for part in ["lab", "manifests", "models"] {
        copied(&project().join(part), &copy.join(part));
    }
    let lab = copy.join("lab/tiny");
    let up = bench.run(&["--lab", lab.to_str().unwrap(), "up", "--until", "namespace"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    fs::remove_dir_all(&copy).unwrap();
    for args in [&["status"][..], &["verify"], &["up"], &["down", "--keep-cluster"]] {
        let ended = bench.run(args);
        assert_eq!(ended.code, 3, "{args:?}: {ended:?}");
        assert!(ended.err.contains("LAB_NOT_FOUND") && ended.err.contains(lab.to_str().unwrap()), "{}", ended.err);
    }
    // Where its files are now can be said.
    assert_eq!(bench.tiny(&["verify"]).code, 0);
    let down = bench.run(&["down", "--purge"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert!(!bench.home().exists(), "{}", down.out);
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_terminal_that_is_opened_early_is_right_later() {
    let bench = Bench::new();
    let early = bench.tiny(&["env"]);
    assert_eq!(early.code, 0, "{early:?}");
    let value = |out: &str, name: &str| {
        let found = out.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")).map(str::to_owned));
        found.unwrap_or_default()
    };
    assert!(early.err.contains("INGRESS_HOST and INGRESS_PORT are not set: the cluster does not run"), "{}", early.err);
    assert!(!early.out.contains("INGRESS") && value(&early.out, "NO_PROXY") == "127.0.0.0/8", "{}", early.out);
    assert!(!bench.home().exists(), "looking creates nothing");
    let mut shell = bench.tiny_command(&["shell"]);
    shell.env("SHELL", "/bin/pwd");
    let shell = finish(shell);
    assert_eq!(shell.out.trim_end(), bench.home().join("work").to_str().unwrap(), "{shell:?}");

    assert_eq!(bench.tiny(&["up", "--until", "istio"]).code, 0);
    let pending = bench.tiny(&["env"]);
    assert!(pending.code == 0 && pending.err.contains("no external address"), "{pending:?}");
    for name in ["KUBECONFIG", "CANARY_LAB_WORK", "CANARY_LAB_HOME"] {
        assert_eq!(value(&early.out, name), value(&pending.out, name), "{name}");
    }
    assert!(Path::new(&value(&early.out, "KUBECONFIG")).is_file(), "{}", early.out);
    assert!(Path::new(&value(&early.out, "CANARY_LAB_WORK")).join("service.yaml").is_file(), "{}", early.out);

    assert_eq!(bench.tiny(&["up", "--until", "tunnel"]).code, 0);
    let mut late = bench.tiny_command(&["env"]);
    late.env("NO_PROXY", "example.com,127.0.0.0/8");
    let late = finish(late);
    assert!(late.code == 0 && late.err.is_empty(), "{late:?}");
    let host = value(&late.out, "INGRESS_HOST");
    assert!(host.starts_with("127."), "{}", late.out);
    let exceptions = value(&late.out, "NO_PROXY");
    let exceptions: Vec<&str> = exceptions.trim_matches('\'').split(',').collect();
    assert_eq!(exceptions[..2], ["example.com", "127.0.0.0/8"]);
    assert!(exceptions.contains(&host.as_str()), "{exceptions:?}");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
