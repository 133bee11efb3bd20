//! Another user of the same machine learns nothing of a dossier that is not his.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::Context;
use serde_json::{Value, json};

use crate::station::{AGENT, CURIOUS, Station};

const NAME: &str = "TRESSECRET";

#[test]
fn a_second_user_who_listens_to_everything_hears_nothing_of_a_dossier() -> anyhow::Result<()> {
    let Some(station) = Station::start()? else {
        return Ok(());
    };
    let mut curious = Listener::start(&station, CURIOUS)?;
    let refused = curious.listen()?;
    assert!(
        refused.contains(&json!("BecomeMonitor")),
        "he may watch the bus: {refused:?}"
    );
    // Root may watch a bus: what there is to hear is heard.
    let mut root = Listener::start(&station, "root")?;
    assert!(!root.listen()?.contains(&json!("BecomeMonitor")));

    let opened = station.recueilctl("dossier open deposit/cni-adulte")?;
    let id = opened["dossier"]["id"]
        .as_str()
        .with_context(|| opened.to_string())?
        .to_owned();
    station.recueilctl(&format!("dossier set last nom-naissance {NAME}"))?;
    station.recueilctl("capture fingerprints last")?;

    let heard = curious.heard()?;
    assert!(
        heard
            .iter()
            .any(|message| message["interface"] == "org.freedesktop.DBus.Properties"),
        "devices are for everybody: {heard:?}"
    );
    for message in &heard {
        let told = message.to_string();
        for secret in [
            id.as_str(),
            NAME,
            AGENT,
            "Dossier1",
            "Capture1",
            "/fr/recueil/dossier",
            "handle ",
        ] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    root.until(&[&id, NAME, "fr.recueil.Dossier1", "fr.recueil.Capture1"])?;
    Ok(())
}

#[test]
fn a_second_user_reads_and_calls_nothing_of_a_dossier() -> anyhow::Result<()> {
    let Some(station) = Station::start()? else {
        return Ok(());
    };
    let opened = station.recueilctl("dossier open deposit/cni-adulte")?;
    let id = opened["dossier"]["id"]
        .as_str()
        .with_context(|| opened.to_string())?
        .to_owned();
    station.recueilctl(&format!("dossier set last nom-naissance {NAME}"))?;
    station.recueilctl("capture fingerprints last")?;

    let machine = &station.machine;
    let tries = [
        format!("recueilctl dossier show {id}"),
        "recueilctl dossier list".to_owned(),
        format!("recueilctl seal {id}"),
        "recueilctl capture fingerprints last".to_owned(),
        "cat /var/lib/recueil/store.sqlite".to_owned(),
        "ls /var/lib/recueil /var/lib/recueil-ready /var/lib/recueil-courier /var/lib/recueil-host"
            .to_owned(),
        "ls /run/recueil-hostd /run/recueil-courier".to_owned(),
        "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); \
         s.connect(\"/run/recueil/analyser.sock\")'"
            .to_owned(),
    ];
    for words in tries {
        let said = machine.run_as(CURIOUS, &format!("! {{ {words} ; }} 2>&1"))?;
        assert!(
            !said.contains(NAME) && !said.contains("/fr/recueil/dossier"),
            "{words}: {said}"
        );
    }
    // Paths may be listed (design.md section 7), and tell nothing.
    let tree = machine.run_as(CURIOUS, "busctl --list tree fr.recueil.Station1")?;
    for path in tree
        .lines()
        .filter(|line| line.starts_with("/fr/recueil/dossier/"))
    {
        for call in ["GetAll s fr.recueil.Dossier1", "Get ss fr.recueil.Dossier1 State"] {
            let said = machine.run_as(
                CURIOUS,
                &format!("busctl call fr.recueil.Station1 {path} org.freedesktop.DBus.Properties {call} 2>&1 || true"),
            )?;
            assert!(!said.contains(NAME) && !said.contains("draft"), "{call}: {said}");
        }
    }
    assert!(
        !machine.journal().contains(NAME),
        "a citizen's name in the journal"
    );
    Ok(())
}

/// `tests/fixtures/listener.py`, which hears all that the bus lets it hear.
struct Listener {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    early: Vec<Value>,
}

impl Listener {
    fn start(station: &Station, user: &str) -> anyhow::Result<Self> {
        let words = [
            "timeout",
            "240",
            "python3",
            "/t/guest/listener.py",
            "unix:path=/run/dbus/system_bus_socket",
        ];
        let mut command = station.machine.command_as(user, &words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        Ok(Self {
            stdin: child.stdin.take().context("a pipe was asked for")?,
            lines: BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines(),
            child,
            early: Vec::new(),
        })
    }

    fn say(&mut self, order: &Value) -> anyhow::Result<()> {
        Ok(writeln!(self.stdin, "{order}")?)
    }

    fn hear(&mut self) -> anyhow::Result<Value> {
        let line = self.lines.next().context("the listener ended")??;
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks for everything; gives what was refused.
    fn listen(&mut self) -> anyhow::Result<Vec<Value>> {
        self.say(&json!({"do": "listen", "eavesdrop": true}))?;
        loop {
            let line = self.hear()?;
            if line["listening"] == true {
                return Ok(line["refused"].as_array().context("a list")?.clone());
            }
            self.early.push(line);
        }
    }

    /// All that came until the service has answered a call of its own, and so all that was sent before.
    fn heard(&mut self) -> anyhow::Result<Vec<Value>> {
        self.say(&json!({"do": "mark"}))?;
        let mut heard = std::mem::take(&mut self.early);
        loop {
            let line = self.hear()?;
            if line["mark"] == true {
                return Ok(heard.into_iter().map(|line| line["heard"].clone()).collect());
            }
            heard.push(line);
        }
    }

    /// Reads until each of these was heard.
    fn until(&mut self, wanted: &[&str]) -> anyhow::Result<()> {
        let mut missing = wanted.to_vec();
        while !missing.is_empty() {
            let told = self.hear()?.to_string();
            missing.retain(|one| !told.contains(one));
        }
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
