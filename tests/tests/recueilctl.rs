//! A town hall that has nothing but the command line. Each call is a process of its own, prints one JSON
//! document, and ends with the exit code that its help promises.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, ensure};
use recueil_tests::{Options, Station, binary};
use serde_json::{Value, json};

/// `recueilctl` as the station's user types it.
struct Shell<'a>(&'a Station);

impl Shell<'_> {
    fn command(&self) -> anyhow::Result<Command> {
        let users = self.0.users();
        let mut command = users.command(users.client, &binary("recueilctl")?);
        let global = ["--bus", self.0.bus_address(), "--agent", "agent.dupont"];
        command.args(global).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs `recueilctl --json LINE`.
    fn run(&self, line: &str) -> anyhow::Result<(Option<i32>, Value)> {
        let output = self
            .command()?
            .arg("--json")
            .args(line.split_whitespace())
            .output()?;
        Ok((
            output.status.code(),
            document(&output).with_context(|| line.to_owned())?,
        ))
    }

    /// The document of a call that works.
    fn ok(&self, line: &str) -> anyhow::Result<Value> {
        let (code, answer) = self.run(line)?;
        ensure!(code == Some(0), "recueilctl {line}: exit {code:?}, {answer}");
        Ok(answer)
    }

    /// The error of a call that fails as it should.
    fn fails(&self, line: &str, exit: i32, code: &str) -> anyhow::Result<Value> {
        let (ended, answer) = self.run(line)?;
        let error = answer.get("error").cloned().unwrap_or_default();
        ensure!(
            ended == Some(exit) && error.get("code") == Some(&json!(code)),
            "recueilctl {line}: exit {ended:?}, {answer}"
        );
        ensure!(
            error["text"].as_str().is_some_and(|text| !text.is_empty()),
            "{error}"
        );
        ensure!(error["details"].is_object(), "{error}");
        Ok(error)
    }

    fn spawn(&self, line: &str) -> anyhow::Result<Child> {
        let mut command = self.command()?;
        command
            .arg("--json")
            .args(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command.spawn()?)
    }
}

/// Standard output, which must be one JSON document in one line and nothing else.
fn document(output: &Output) -> anyhow::Result<Value> {
    let text = std::str::from_utf8(&output.stdout)?;
    let line = text.strip_suffix('\n').filter(|line| !line.contains('\n'));
    let line = line.with_context(|| format!("{text:?}, {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(serde_json::from_str(line)?)
}

fn interrupt(child: &Child) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id())?).context("a pid is positive")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::INT)?)
}

fn text(value: &Value) -> anyhow::Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("{value} is no text"))
}

#[test]
fn a_town_hall_works_with_recueilctl_alone() -> anyhow::Result<()> {
    let station = Station::start(Options::default())?;
    session(&station).with_context(|| station.logs())
}

fn session(station: &Station) -> anyhow::Result<()> {
    let shell = Shell(station);
    assert_eq!(shell.ok("status")?["station"], recueil_tests::STATION);

    let opened = shell.ok("dossier open deposit/cni-adulte")?;
    let id = text(&opened["dossier"]["id"])?;
    assert_eq!(opened["dossier"]["agent"], "agent.dupont");

    lay(
        station,
        &json!({"kind": "page", "title": "Récapitulatif", "code": "https://predemande.example/?n=VALID12345"}),
    )?;
    let number = text(&shell.ok(&format!("scan {id} recapitulatif"))?["pre-demande"])?;
    let fetched = shell.ok(&format!("dossier fetch {id} {number}"))?;
    assert_eq!(
        fetched["pre-demande"],
        json!({"number": number, "status": "validated", "refused": []})
    );

    shell.ok("dossier set last motif premiere-demande")?;
    lay(station, &json!({"kind": "page", "title": "Facture"}))?;
    shell.ok("scan last justificatif-domicile")?;
    shell.ok("dossier decide last acte-naissance absent comedec")?;

    lay(station, &json!({"kind": "photo"}))?;
    let photo = shell.ok("capture photo last")?;
    assert_eq!(photo["capture"]["state"], "completed");

    let hands = shell.ok("capture fingerprints last")?;
    let results = hands["capture"]["results"]
        .as_array()
        .context("results are a list")?;
    let kept = results
        .iter()
        .filter(|result| result["type"] == "selected")
        .map(|result| &result["position"]);
    assert_eq!(
        kept.collect::<Vec<_>>(),
        ["2", "7"],
        "both index fingers, by the legal order"
    );
    let guidance = hands["capture"]["guidance"]
        .as_array()
        .context("guidance is a list")?;
    assert!(
        guidance
            .iter()
            .any(|one| one["text"] == "present the left four fingers"),
        "{guidance:?}"
    );

    let missing = shell.ok(&format!("dossier missing {id}"))?["missing"].clone();
    assert_eq!(
        missing,
        json!([{"step": "signature", "what": "signature", "name": ""}])
    );
    lay(station, &json!({"kind": "signature"}))?;
    shell.ok(&format!("scan {id} --signature"))?;
    assert_eq!(shell.ok(&format!("dossier missing {id}"))?["missing"], json!([]));

    let sealed = shell.ok(&format!("seal {id}"))?;
    assert_eq!(sealed["recepisse"]["status"], "provisional");
    // All the while, although each of the calls below takes the dossier over.
    let to_the_end = shell.spawn(&format!("follow {id}"))?;
    let followed = shell.ok(&format!("follow {id} --until in-instruction"))?;
    let demande = text(&followed["dossier"]["demande"])?;
    let shown = shell.ok(&format!("dossier show {id} --fields"))?;
    assert_eq!(shown["recepisse"]["status"], "final");
    assert_eq!(shown["receipts"][1]["kind"], "R2");
    assert_eq!(
        shown.get("fields"),
        None,
        "the station cannot read what it sealed"
    );
    assert_eq!(shell.ok("outbox")?, json!({"outbox": []}));

    for status in ["production", "available"] {
        station.cert(&json!({"do": "advance", "demande": demande, "to": status}))?;
        shell.ok(&format!("follow {id} --until {status}"))?;
    }
    hand_over(station, &shell, &demande)?;
    let followed = to_the_end.wait_with_output()?;
    assert_eq!(followed.status.code(), Some(0), "{followed:?}");
    assert_eq!(document(&followed)?["dossier"]["state"], "handed-over");
    Ok(())
}

/// The comparison needs a reason at first, and the same draft goes on when it is given.
fn hand_over(station: &Station, shell: &Shell<'_>, demande: &str) -> anyhow::Result<()> {
    let line = format!("handover {demande} --old-title sans-objet --new-title X4RTBPFW4 --comparison");
    let refused = shell.fails(&format!("{line} impossible"), 2, "invalid-argument")?;
    let id = text(&refused["details"]["dossier"])?;
    lay(station, &json!({"kind": "signature"}))?;
    let done = shell.ok(&format!("{line} conforme"))?;
    assert_eq!(done["dossier"]["id"], json!(id));
    assert_eq!(done["capture"]["state"], "completed");
    shell.ok("follow last --until handed-over")?;
    Ok(())
}

fn lay(station: &Station, thing: &Value) -> anyhow::Result<()> {
    station.show("flatbed", &[json!({ "glass": thing })])
}

#[test]
fn what_goes_wrong_has_its_exit_code_and_its_json() -> anyhow::Result<()> {
    let mut station = Station::start(Options {
        devices: false,
        ..Options::default()
    })?;
    let shell = Shell(&station);
    shell.fails("nonsense", 2, "usage")?;
    shell.fails("dossier open deposit/none-such", 5, "unknown-procedure")?;
    shell.fails("dossier show last", 5, "unknown-dossier")?;
    shell.fails(
        "dossier show 01234567-89ab-7def-8123-456789abcdef",
        5,
        "unknown-dossier",
    )?;
    shell.fails("dossier show 0123", 2, "invalid-argument")?;

    let id = text(&shell.ok("dossier open deposit/cni-adulte")?["dossier"]["id"])?;
    let short = id.get(..18).context("an id is longer")?;
    let incomplete = shell.fails(&format!("seal {short}"), 6, "incomplete")?;
    assert!(
        text(&incomplete["details"]["missing"])?.contains("empreintes"),
        "{incomplete}"
    );
    shell.fails(&format!("dossier set {short} none-such x"), 5, "unknown-step")?;
    shell.fails(
        &format!("dossier set {short} motif none-such"),
        2,
        "invalid-argument",
    )?;
    shell.fails(&format!("dossier fetch {short} ABSENT0000"), 5, "cert-unknown")?;
    shell.fails(&format!("scan {short} none-such"), 5, "unknown-step")?;
    shell.fails(
        &format!("capture photo {short} --device none-such"),
        7,
        "unknown-device",
    )?;
    shell.fails(
        &format!("follow {short} --until sealed --timeout 0"),
        6,
        "not-reached",
    )?;

    shell.ok(&format!("dossier set {short} nom-naissance SPECIMEN"))?;
    let shown = shell.ok(&format!("dossier show {short}"))?;
    assert!(
        !shown.to_string().contains("SPECIMEN"),
        "fields are shown where they are asked for"
    );
    let shown = shell.ok(&format!("dossier show {short} --fields"))?;
    assert_eq!(shown["fields"]["nom-naissance"]["value"], "SPECIMEN");

    let cancelled = shell.ok(&format!("dossier cancel {id}"))?;
    assert_eq!(cancelled["dossier"]["state"], "cancelled");
    shell.fails(&format!("dossier set {id} motif vol"), 6, "wrong-state")?;
    shell.fails(&format!("follow {id} --until sealed"), 6, "not-reached")?;
    shell.ok("dossier open deposit/cni-adulte")?;

    let mut following = shell.spawn("follow last --until in-instruction")?;
    let stderr = BufReader::new(following.stderr.take().context("a pipe was asked for")?);
    let told = stderr
        .lines()
        .next()
        .context("it says where the dossier stands")??;
    assert_eq!(told, "draft");
    station.stop_recueild();
    let following = following.wait_with_output()?;
    assert_eq!(
        following.status.code(),
        Some(4),
        "nobody waits for a station that left"
    );
    assert_eq!(document(&following)?["error"]["code"], "service");

    let shell = Shell(&station);
    shell.fails("status", 4, "service")?;
    shell.fails("dossier list", 4, "service")?;
    assert_eq!(shell.ok("version")?["recueild"], Value::Null);
    assert_eq!(shell.ok("explain wrong-hand")?["meanings"][0]["of"], "guidance");
    shell.fails("explain none-such", 5, "unknown-code")?;
    Ok(())
}

#[test]
fn people_read_words_in_columns_without_colour_outside_a_terminal() -> anyhow::Result<()> {
    let station = Station::start(Options {
        devices: false,
        ..Options::default()
    })?;
    let shell = Shell(&station);
    shell.ok("dossier open deposit/cni-adulte")?;
    let output = shell.command()?.args(["dossier", "missing", "last"]).output()?;
    let page = String::from_utf8(output.stdout)?;
    let mut lines = page.lines();
    let head = lines.next().context("a table has a head")?;
    let column = head.find("COMMAND").with_context(|| head.to_owned())?;
    for line in lines {
        assert_eq!(line.get(column..column + 10), Some("recueilctl"), "{page}");
    }
    assert!(!page.contains('\x1b'));
    let refused = shell.command()?.args(["seal", "last"]).output()?;
    assert_eq!(
        (refused.status.code(), refused.stdout.as_slice()),
        (Some(6), b"".as_slice())
    );
    assert!(String::from_utf8(refused.stderr)?.contains("recueilctl: the dossier is not complete"));
    Ok(())
}

/// `script` gives a terminal; what comes out is what its screen is sent.
#[test]
fn a_terminal_gets_one_line_of_progress_and_colour() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        ..Options::default()
    })?;
    let shell = Shell(&station);
    shell.ok("dossier open deposit/cni-adulte")?;
    until_ready(&shell, "fingerprint")?;
    let users = station.users();
    let line = format!(
        "{} --bus {} --agent agent.dupont capture fingerprints last",
        binary("recueilctl")?.display(),
        station.bus_address()
    );
    let output = users
        .command(users.client, "script".as_ref())
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .context("package bsdutils is needed")?;
    let screen = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{screen:?}");
    assert!(
        screen.contains("\r\x1b[Kpresent the left four fingers"),
        "{screen:?}"
    );
    let (progress, page) = screen.split_once('\n').context("the page has lines")?;
    let (_, first) = progress
        .rsplit_once("\r\x1b[K")
        .context("the line of progress is taken away")?;
    assert_eq!(first, "\x1b[32mfingerprints: completed\x1b[0m\r", "{screen:?}");
    assert!(
        page.contains("right index") && page.contains("\x1b[32mkept\x1b[0m"),
        "{screen:?}"
    );
    Ok(())
}

#[test]
fn ctrl_c_cancels_a_capture_and_the_next_one_works() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        ..Options::default()
    })?;
    interrupted(&station).with_context(|| station.logs())
}

fn interrupted(station: &Station) -> anyhow::Result<()> {
    let shell = Shell(station);
    until_ready(&shell, "fingerprint")?;
    shell.ok("dossier open deposit/cni-adulte")?;

    station.show("fp4", &[json!({"wait_ms": 3_600_000})])?;
    let mut child = shell.spawn("capture fingerprints last")?;
    let stderr = BufReader::new(child.stderr.take().context("a pipe was asked for")?);
    let mut told = stderr.lines();
    told.find(|line| {
        line.as_ref()
            .is_ok_and(|line| line == "present the right four fingers")
    })
    .context("the capture gives guidance")??;
    // The hand that never comes is this capture's, not the next one's.
    let begun = json!({"command": "await", "device": "fp4", "until": "capturing", "timeout_ms": 25_000});
    assert_eq!(station.hardware(&begun)?, json!({"ok": true}));
    interrupt(&child)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(document(&output)?["error"]["code"], "interrupted");

    let hands = shell.ok("capture fingerprints last --missing 10=bandaged")?;
    assert_eq!(hands["capture"]["state"], "completed");
    Ok(())
}

/// `monitor` prints one document a line, and ends well by Ctrl-C.
fn until_ready(shell: &Shell<'_>, modality: &str) -> anyhow::Result<()> {
    let mut child = shell.spawn("monitor")?;
    let stdout = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
    for line in stdout.lines() {
        let event: Value = serde_json::from_str(&line?)?;
        let device = &event["device"];
        if device["state"] == "ready" && device["modalities"] == json!([modality]) {
            interrupt(&child)?;
            break;
        }
    }
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}
