//! The program itself: plugs in, obeys, ends.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use recueil_virtual::control;
use recueil_virtual::images::Images;

const PROGRAM: &str = env!("CARGO_BIN_EXE_recueil-virtual");

/// Starts the program and waits until its sockets are there. It ends with `quit`, or with the test.
fn start(dir: &Path, scenario: &str) -> Running {
    std::fs::write(dir.join("scenario"), scenario).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["--images", Images::FIXTURES, "--sockets"])
        .arg(dir)
        .arg("--scenario")
        .arg(dir.join("scenario"))
        .arg("--control")
        .arg(dir.join("control"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    Running { child, line }
}

struct Running {
    child: Child,
    line: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn send(dir: &Path, json: &str) -> Output {
    let control = dir.join("control");
    Command::new(PROGRAM)
        .arg("send")
        .arg(control)
        .arg(json)
        .output()
        .unwrap()
}

#[test]
fn it_plugs_in_obeys_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = "# a comment\n\n{\"command\":\"next\",\"device\":\"fp4\",\"presentations\":[{},{}]}\n";
    let mut running = start(dir.path(), scenario);
    assert_eq!(running.line, "{\"ready\":true}\n");
    let sockets = ["fp4.SN0001.sock", "cam.SN0002.sock", "flatbed.SN0003.sock"];
    assert!(sockets.iter().all(|socket| dir.path().join(socket).exists()));

    let status = control::send(&dir.path().join("control"), "{\"command\":\"status\"}").unwrap();
    assert_eq!(status.devices.len(), 3);
    assert_eq!(status.devices[0].queued, 2);

    let refused = send(dir.path(), "{\"command\":\"back\",\"device\":\"fp5\"}");
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stdout).unwrap().contains("no device"));

    assert!(send(dir.path(), "{\"command\":\"quit\"}").status.success());
    assert!(running.child.wait().unwrap().success());
    assert!(!sockets.iter().any(|socket| dir.path().join(socket).exists()));
}

#[test]
fn a_device_comes_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let _running = start(dir.path(), "");
    let control = dir.path().join("control");
    let mut line = UnixStream::connect(dir.path().join("cam.SN0002.sock")).unwrap();
    let reply = control::send(
        &control,
        r#"{"command":"away","device":"cam.SN0002","for_ms":20}"#,
    );
    assert!(reply.unwrap().ok);
    line.read_to_end(&mut Vec::new()).unwrap();

    let (sender, back) = std::sync::mpsc::channel();
    let path = dir.path().join("cam.SN0002.sock");
    std::thread::spawn(move || {
        while UnixStream::connect(&path).is_err() {
            std::thread::yield_now();
        }
        let _waiting = sender.send(());
    });
    back.recv_timeout(std::time::Duration::from_mins(1)).unwrap();
}

#[test]
fn a_scenario_that_is_not_understood_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = start(dir.path(), "{\"command\":\"status\"}\n{\"command\":\"dance\"}\n");
    assert_eq!(running.line, "");
    let mut said = String::new();
    let mut errors = running.child.stderr.take().unwrap();
    errors.read_to_string(&mut said).unwrap();
    assert!(!running.child.wait().unwrap().success());
    assert!(said.contains("line 2") && said.contains("dance"), "{said}");
}
