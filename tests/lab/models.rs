//! Weights that are downloaded, given or made; models of one's own; and everything that is no model.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use canary_lab::download::Checksum;
use canary_lab::models::network::Network;
use canary_lab::models::synthetic;
use serde_json::Value;

use super::bench::{Bench, Ended, finish, project};

/// A file server on a port of its own, which notes what it is asked for.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn of(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &folder, &noted);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request by the last part of its path.
fn answer(mut stream: TcpStream, folder: &Path, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let file = folder.join(target.rsplit('/').next().unwrap_or_default());
    asked.lock().unwrap().push(target);
    let (status, body) = fs::read(file).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

/// A weights file of the fixtures, unpacked.
fn weights(fixture: &str, to: &Path) {
    let packed = fs::File::open(project().join("tests/data/pretrained").join(format!("{fixture}.gz"))).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut fs::File::create(to).unwrap()).unwrap();
}

/// The tiny lab with a catalogue of its own, in which resnet50 has published weights at `server` and a published list.
fn lab(directory: &Path, server: &str, weights: &Path, picture: &Path, top_10: &Value) -> PathBuf {
    let folder = directory.join("lab");
    fs::create_dir_all(folder.join("models/pictures")).unwrap();
    let text = fs::read_to_string(project().join("lab/tiny/lab.yaml")).unwrap();
    let text = text.replace("../../manifests", project().join("manifests").to_str().unwrap());
    let text = text.replace("../tensorflow-canary", project().join("lab/tensorflow-canary").to_str().unwrap());
    fs::write(folder.join("lab.yaml"), text.replace("../../models", "models")).unwrap();
    let read = |name: &str| fs::read_to_string(project().join("models").join(name)).unwrap();
    let bytes = |path: &Path| path.metadata().unwrap().len();
    let pretrained = format!(
        "sources:\n  - pretrained:\n      url: {server}/somewhere/weights.h5\n      bytes: {}\n      md5: {}\n",
        bytes(weights),
        Checksum::Md5([0; 16]).of_file(weights).unwrap().hex()
    );
    let published = format!("published:\n  picture: tutorial\n  top_10: {top_10}\n  in_common: 8\n");
    fs::write(folder.join("models/tiny-a.yaml"), read("tiny-a.yaml").replace("sources:\n", &pretrained) + &published)
        .unwrap();
    fs::write(folder.join("models/tiny-b.yaml"), read("tiny-b.yaml")).unwrap();
    let tutorial = format!(
        "version: 1\ntitle: a picture\nurl: {server}/elsewhere/test.jpeg\nbytes: {}\nsha256: {}\n",
        bytes(picture),
        Checksum::Sha256([0; 32]).of_file(picture).unwrap().hex()
    );
    fs::write(folder.join("models/pictures/tutorial.yaml"), tutorial).unwrap();
    folder
}

#[test]
fn published_weights_are_downloaded_once_and_their_answers_are_the_published_ones() {
    let bench = Bench::new();
    let files = bench.directory().join("served");
    fs::create_dir(&files).unwrap();
    let (file, picture) = (files.join("weights.h5"), files.join("test.jpeg"));
    weights("weights-of-keras-2.h5", &file);
    fs::copy(project().join("tests/data/jpeg/444.jpg"), &picture).unwrap();
    let arg = |path: &Path| path.to_str().unwrap().to_owned();

    // What is published about them: what they answer.
    let built = bench.directory().join("built");
    let ended = bench.run(&["models", "build", "tiny-a", &arg(&built), "--weights", &arg(&file)]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let predicted = bench.run(&["--output", "json", "models", "predict", &arg(&built), &arg(&picture)]);
    let top_10 = serde_json::from_str::<Value>(&predicted.out).unwrap()["top_10"].take();

    let server = Server::of(files.clone());
    let lab = lab(bench.directory(), &server.url, &file, &picture, &top_10);
    let cache = bench.directory().join("stick");
    let with_lab = |args: &[&str]| bench.run(&[&["--lab", lab.to_str().unwrap()], args].concat());

    // A class prepares where the network is, through a proxy, from a mirror that has only the weights.
    let mut prefetch = bench.command(&["--lab", &arg(&lab), "prefetch", "--cache", &arg(&cache)]);
    prefetch.args(["--mirror", "http://mirror.invalid/class"]).env("http_proxy", &server.url);
    let ended = finish(prefetch);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("weights.h5") && ended.out.contains("downloaded"), "{ended:?}");
    assert_eq!(
        server.asked(),
        ["http://mirror.invalid/class/weights.h5", "http://mirror.invalid/class/test.jpeg"],
        "the proxy is asked for the mirror's files"
    );
    let again = with_lab(&["prefetch", "--cache", &arg(&cache)]);
    assert!(again.out.matches("was there, whole").count() == 2 && server.asked().len() == 2, "{again:?}");

    // The class has no network: the published address is gone.
    let before = server.asked().len();
    let up = with_lab(&["up", "--until", "predict", "--cache", &arg(&cache)]);
    assert_eq!(up.code, 0, "{up:?}");
    assert!(up.out.contains("resnet50 124,360 parameters, pretrained weights"), "{}", up.out);
    assert!(up.out.contains("from the cache") && up.out.contains("exactly as the tutorial prints"), "{}", up.out);
    assert_eq!(server.asked().len(), before, "nothing was downloaded");
    assert_eq!(fs::read(bench.home().join("picture")).unwrap(), fs::read(&picture).unwrap());
    let body = bench.run(&["payload", &arg(&picture)]).out;
    assert_eq!(fs::read_to_string(bench.home().join("work/request-body.json")).unwrap(), body);
    assert!(!bench.home().join("work/request-body.json.yours").exists(), "the lab's own earlier body is no one's");

    // Another picture: nothing is published about it. The lab's own: eight of ten cannot be, since it is another one.
    let other = with_lab(&["up", "--until", "predict", "--picture", &arg(&project().join("tests/data/jpeg/420.jpg"))]);
    assert_eq!(other.code, 0, "{other:?}");
    assert!(other.out.contains("nothing is published about this picture"), "{}", other.out);
    let own = with_lab(&["up", "--until", "predict", "--picture", "portrait"]);
    let missed = own.err.contains("PUBLISHED_LIST_MISSED") && own.code == 22;
    assert!(missed || own.out.contains("of 10 classes as the tutorial prints"), "{own:?}");
}

#[test]
fn a_model_of_ones_own_takes_the_place_and_the_pods_are_made_anew() {
    let bench = Bench::new();
    let up = bench.tiny(&["up", "--until", "predict", "--weights", "synthetic"]);
    assert_eq!(up.code, 0, "{up:?}");
    let caution = || {
        let page = bench.directory().join("report.html");
        let reported = bench.tiny(&["report", "-o", page.to_str().unwrap()]);
        assert_eq!(reported.code, 0, "{reported:?}");
        fs::read_to_string(page).unwrap().contains("synthetic weights: names mean nothing")
    };
    assert!(caution());
    let mine = bench.directory().join("mine");
    weights("weights-of-keras-2.h5", &bench.directory().join("w.h5"));
    let file = bench.directory().join("w.h5");
    let ended = bench.run(&["models", "build", "tiny-a", mine.to_str().unwrap(), "--weights", file.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let own = format!("resnet50={}", mine.display());
    let up = bench.tiny(&["up", "--until", "predict", "--model-dir", &own]);
    assert_eq!(up.code, 0, "{up:?}");
    assert!(
        up.out.contains("the SavedModel of") && up.out.contains("1 pod with the earlier model made anew"),
        "{}",
        up.out
    );
    assert!(up.out.contains("answered by resnet50"), "{}", up.out);
    assert!(!caution(), "nobody knows what a model of one's own was trained on");
    let placed = bench.home().join("models/resnet50/1/variables/variables.index");
    assert_eq!(fs::read(placed).unwrap(), fs::read(mine.join("1/variables/variables.index")).unwrap());
    let again = bench.json(&["up", "--until", "predict", "--model-dir", &own]);
    assert!(again["stages"].as_array().unwrap().iter().all(|stage| stage["outcome"] == "satisfied"), "{again:#}");
    let stays = bench.json(&["up", "--until", "predict"]);
    assert_eq!(stays["stages"][4]["outcome"], "satisfied", "what is built stays: {stays:#}");
    let unknown = bench.tiny(&["models", "place", "resnet5", "--weights", "synthetic"]);
    assert!(unknown.code == 14 && unknown.err.contains("MODEL_UNKNOWN"), "{unknown:?}");
}

/// Asserts that a command fails in the models' layer with this reason.
fn assert_reason(ended: &Ended, reason: &str) {
    assert!(ended.code == 14 && ended.err.contains(reason), "{reason}: {ended:?}");
}

#[test]
fn what_is_no_weights_file_and_no_model_has_a_reason_each() {
    let bench = Bench::new();
    let at = |name: &str| bench.directory().join(name).to_str().unwrap().to_owned();
    let build = |file: &str| bench.run(&["models", "build", "tiny-b", &at("out"), "--weights", &at(file)]);
    fs::write(at("page.h5"), "<html>").unwrap();
    assert_reason(&build("page.h5"), "WEIGHTS_UNREADABLE");
    weights("weights-of-keras-2.h5", Path::new(&at("a.h5")));
    let whole = fs::read(at("a.h5")).unwrap();
    fs::write(at("cut.h5"), &whole[..whole.len() / 2]).unwrap();
    assert_reason(&build("cut.h5"), "WEIGHTS_UNREADABLE");
    let other = build("a.h5");
    assert_reason(&other, "WEIGHTS_OTHER_ARCHITECTURE");
    assert!(other.err.contains("conv4_block2_1_conv/kernel"), "{other:?}");
    assert!(!Path::new(&at("out")).exists());
    fs::create_dir(at("empty")).unwrap();
    assert_reason(&build("empty"), "WEIGHTS_MISSING");
    let misspelt = build("pretraind");
    assert_reason(&misspelt, "WEIGHTS_MISSING");
    assert!(misspelt.err.contains("there is no") && misspelt.err.contains("ls -l "), "{misspelt:?}");

    let inspect = |path: &str| bench.run(&["models", "inspect", &at(path)]);
    assert_reason(&inspect("empty"), "MODEL_MISSING");
    synthetic::build(Network::TinyA, &bench.directory().join("m"), &[], &mut |_| {}).unwrap();
    let shown = inspect("m");
    assert!(shown.code == 0 && shown.out.contains("124,360") && shown.out.contains("serving_default"), "{shown:?}");
    let predicted = bench.run(&["models", "predict", &at("m/1"), "small"]);
    assert!(predicted.code == 0 && predicted.out.contains("LABEL"), "{predicted:?}");
    assert!(predicted.err.contains("synthetic weights: names mean nothing"), "{predicted:?}");
    let predict = |path: &str| bench.run(&["models", "predict", &at(path), "small"]);
    let data = at("m/1/variables/variables.data-00000-of-00001");
    let bytes = fs::read(&data).unwrap();
    let mut flipped = bytes.clone();
    flipped[1000] ^= 1;
    fs::write(&data, flipped).unwrap();
    let damaged = predict("m/1");
    assert_reason(&damaged, "MODEL_DAMAGED");
    assert!(damaged.err.contains("checksum"), "{damaged:?}");
    fs::write(&data, bytes).unwrap();
    fs::rename(at("m/1/variables"), at("m/1/kept")).unwrap();
    let bare = predict("m/1");
    assert_reason(&bare, "MODEL_DAMAGED");
    assert!(bare.err.contains("Could not find variable") && !bare.err.contains("container"), "{bare:?}");
    fs::rename(at("m/1/kept"), at("m/1/variables")).unwrap();
    for nothing in ["nowhere/m", "a.h5"] {
        assert_reason(&inspect(nothing), "MODEL_MISSING");
    }
    fs::rename(at("m/1"), at("m/v1")).unwrap();
    assert_reason(&inspect("m"), "MODEL_VERSION_NOT_NUMBER");
    let model = fs::read(at("m/v1/saved_model.pb")).unwrap();
    let tag = model.windows(7).rposition(|bytes| bytes == b"\"\x05serve").unwrap();
    let mut other = model.clone();
    other[tag + 2..tag + 7].copy_from_slice(b"train");
    fs::write(at("m/v1/saved_model.pb"), other).unwrap();
    for ended in [inspect("m/v1"), predict("m/v1")] {
        assert_reason(&ended, "MODEL_WITHOUT_SERVE_TAG");
    }
    fs::write(at("m/v1/saved_model.pb"), &model[..model.len() / 2]).unwrap();
    assert_reason(&inspect("m/v1"), "MODEL_DAMAGED");
    fs::remove_file(at("m/v1/saved_model.pb")).unwrap();
    fs::write(at("elsewhere.pb"), &model).unwrap();
    std::os::unix::fs::symlink(at("elsewhere.pb"), at("m/v1/saved_model.pb")).unwrap();
    for ended in [inspect("m/v1"), predict("m/v1")] {
        assert_reason(&ended, "MODEL_LINK_OUTSIDE");
    }
    let up = bench.tiny(&["models", "place", "resnet50", "--model-dir", &format!("resnet50={}", at("m/v1"))]);
    assert_reason(&up, "MODEL_LINK_OUTSIDE");
}

#[test]
fn a_name_that_is_not_utf_8_is_refused_with_a_reason() {
    let bench = Bench::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.h5");
    for before in [&["up", "--weights"][..], &["models", "build", "resnet50", "out", "--weights"], &["models", "build"]]
    {
        let mut command = bench.command(before);
        let ended = finish({
            command.arg(name);
            command
        });
        assert!(ended.code == 2 && ended.err.contains("ARGUMENT_NOT_UNICODE"), "{ended:?}");
        assert!(ended.err.contains(r"ln -s $'caf\xe9.h5' OTHER"), "{ended:?}");
    }
    let mut command = bench.command(&["--output", "json", "up", "--weights"]);
    command.arg(name);
    let told: Value = serde_json::from_str(&finish(command).out).unwrap();
    assert_eq!(told["failure"]["reason"], "ARGUMENT_NOT_UNICODE", "{told}");
}
