//! A station, its CERT, and the line between them in the test's hands.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use recueil_cert::proxy::{End, Manner, Proxy, Way};
use recueil_tests::{Client, Followed, Options, Station, binary};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::faults::{Cause, Fault, Impostor};

/// What a loaded machine needs at most for what takes a second or two.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Nothing tells of the outbox's troubles, so it is looked at this often.
const LOOK: Duration = Duration::from_millis(50);
/// The least of a dossier.
const PROCEDURE: &str = "procedure = 1\nid = 'essai'\ntitle = 'Essai'\nkind = 'deposit'\nprofile = 'cni'\n[sources]\n\
                         essai = 'this test'\n[[step]]\nid = 'etat-civil'\ntype = 'fields'\n\
                         fields = [{ name = 'nom', max_chars = 10 }]\n";

pub(crate) struct Rig {
    station: Station,
    line: Proxy,
}

/// Somebody who answers in the place of CERT, until dropped.
pub(crate) enum Standing {
    Task(tokio::task::JoinHandle<()>),
    /// With its standard output, which it must be able to write.
    Program(Child, BufReader<ChildStdout>),
}

impl Drop for Standing {
    fn drop(&mut self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Program(child, _stdout) => {
                // It may have ended by itself.
                let _ended = child.kill();
                let _reaped = child.wait();
            }
        }
    }
}

impl Rig {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Short limits, so that no fault takes long to be seen.
    pub(crate) async fn start_with(options: Options) -> anyhow::Result<Self> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let line = Proxy::start(nowhere).await?;
        let options = Options {
            devices: false,
            line: Some(line.addr()),
            courier: json!({"retry_base_s": 1, "retry_max_s": 1, "connect_s": 1, "answer_s": 1, "part_s": 1}),
            procedures: vec![("essai.toml", PROCEDURE)],
            ..options
        };
        let station = tokio::task::spawn_blocking(move || Station::start(options)).await??;
        line.lead_to(station.cert_address()?);
        Ok(Self { station, line })
    }

    pub(crate) fn logs(&self) -> String {
        self.station.logs()
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.station.address(), "agent.dupont").await
    }

    /// A dossier that can be sealed.
    pub(crate) async fn complete(&self, client: &Client) -> anyhow::Result<Followed> {
        let dossier = client.open("deposit", "essai", None).await?;
        dossier.dossier.set_field("nom", "SPECIMEN").await?;
        Ok(dossier)
    }

    pub(crate) fn has_parcel(&self, id: &str) -> bool {
        self.station
            .folders()
            .path("ready")
            .join(format!("{id}.p7m"))
            .exists()
    }

    /// The line itself.
    pub(crate) fn line(&self) -> &Proxy {
        &self.line
    }

    /// What `recueilctl` prints of the outbox and of the station, as JSON.
    fn told(&self) -> anyhow::Result<String> {
        let mut told = String::new();
        for verb in ["outbox", "status"] {
            let users = self.station.users();
            let mut command = users.command(users.client, &binary("recueilctl")?);
            command.args(["--bus", self.station.bus_address(), "--agent", "agent.dupont"]);
            let output = command.args(["--json", verb]).stdin(Stdio::null()).output()?;
            ensure!(output.status.success(), "recueilctl {verb}: {output:?}");
            told.push_str(&String::from_utf8(output.stdout)?);
        }
        Ok(told)
    }

    pub(crate) async fn until_told(&self, wanted: &str) -> anyhow::Result<()> {
        let mut last = String::new();
        let wait = async {
            loop {
                last = self.told()?;
                if last.contains(wanted) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let waited = tokio::time::timeout(WAIT_MAX, wait).await;
        waited.with_context(|| format!("{wanted:?} is not told, but {last}"))?
    }

    pub(crate) fn order(&self, order: &str) -> anyhow::Result<()> {
        let answer = self.station.cert(&serde_json::from_str(order)?)?;
        ensure!(answer["ok"] == true, "{order}: {answer}");
        Ok(())
    }

    pub(crate) async fn bring_about(&mut self, cause: &Cause, id: &str) -> anyhow::Result<Option<Standing>> {
        let order = |rig: &Self, order: &str| rig.order(&order.replace("ID", id));
        match cause {
            Cause::Cert(one) => order(self, one)?,
            Cause::Certs(one, two) => {
                order(self, one)?;
                order(self, two)?;
            }
            Cause::Absent => self.station.stop_cert(),
            Cause::Refused => self.line.treat(Manner::Refuse),
            Cause::Silent => self.line.treat(Manner::Hold),
            Cause::Trickle => self.line.treat(Manner::Trickle(Duration::from_millis(20))),
            Cause::Cut(after, end) => self.line.cut_each(Way::Up, *after, *end),
            Cause::Dead(after) => self.line.cut(Way::Up, *after, End::Silent),
            Cause::Impostor(who) => {
                let (standing, addr) = stand(*who, &self.station).await?;
                self.line.lead_to(addr);
                self.line.drop_all();
                return Ok(Some(standing));
            }
        }
        // What stood before the fault is not spared by it.
        self.line.drop_all();
        Ok(None)
    }

    pub(crate) async fn lift(&mut self, fault: &Fault, impostor: Option<Standing>) -> anyhow::Result<()> {
        drop(impostor);
        self.line.mend();
        self.line.treat(Manner::Carry);
        if matches!(fault.cause, Cause::Absent) {
            self.station.start_cert()?;
        }
        self.line.lead_to(self.station.cert_address()?);
        self.line.drop_all();
        self.order(r#"{"do":"lift"}"#)?;
        if fault.remedy.contains("restart recueil-courier") {
            self.station.stop_courier();
            self.station.start_courier()?;
        }
        Ok(())
    }

    /// CERT's list, and the receipts that it gave.
    pub(crate) fn has_one_fate(&self, id: &str, state: &str) -> anyhow::Result<()> {
        let list = self.station.cert(&json!({"do": "list"}))?;
        let dossiers = list["dossiers"].as_array().context("no dossiers")?;
        let of_it: Vec<&Value> = dossiers.iter().filter(|one| one["dossier"] == id).collect();
        ensure!(of_it.len() == 1 && of_it[0]["state"] == state, "{of_it:?}");
        let mut given = Vec::new();
        for entry in std::fs::read_dir(self.station.folders().path("cert/store/receipts"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // SERIAL-ID.KIND.p7s
            if let Some((_serial, kind)) = name.split_once(id) {
                given.push(kind.to_owned());
            }
        }
        given.sort();
        let end = if state == "refused" {
            ".reject.p7s"
        } else {
            ".r2.p7s"
        };
        let mut expected = vec![".r1.p7s".to_owned(), end.to_owned()];
        expected.sort();
        ensure!(given == expected, "CERT gave {given:?} for {id}");
        Ok(())
    }

    pub(crate) fn has_no_alarm(&self) -> anyhow::Result<()> {
        let list = self.station.cert(&json!({"do": "list"}))?;
        ensure!(list["alarms"] == json!([]), "CERT is alarmed: {}", list["alarms"]);
        Ok(())
    }
}

/// Puts somebody in the place of CERT.
async fn stand(who: Impostor, station: &Station) -> anyhow::Result<(Standing, SocketAddr)> {
    const DAY: i64 = 86_400;
    if let Impostor::Portal = who {
        return portal().await;
    }
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path().join("cert");
    recueil_cert::init(&dir, "other", 30)?;
    if !matches!(who, Impostor::OtherRoot) {
        for name in ["tls-root.crt", "tls-root.key"] {
            let from = station.folders().path("cert/cert").join(name);
            std::fs::copy(from, dir.join("cert").join(name))?;
        }
    }
    let names = ["127.0.0.1"];
    match who {
        Impostor::Expired => recueil_cert::renew_tls(&dir, &names, -400 * DAY, -35 * DAY)?,
        Impostor::Early => recueil_cert::renew_tls(&dir, &names, 365 * DAY, 400 * DAY)?,
        Impostor::OtherName => recueil_cert::renew_tls(&dir, &["elsewhere.example"], -DAY, DAY)?,
        Impostor::OldTls => recueil_cert::renew_tls(&dir, &names, -DAY, DAY)?,
        Impostor::OtherRoot | Impostor::Portal => {}
    }
    let more: &[&str] = if matches!(who, Impostor::OldTls) {
        &["-tls1_2"]
    } else {
        &[]
    };
    server(&dir, more)
}

/// A page in plain HTTP to everybody.
async fn portal() -> anyhow::Result<(Standing, SocketAddr)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _from)) = listener.accept().await {
            let page = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n";
            // Who has gone needs no page.
            let _gone = stream.write_all(page).await;
        }
    });
    Ok((Standing::Task(task), addr))
}

/// Somebody else's TLS server, by the certificate in `dir`.
fn server(dir: &Path, more: &[&str]) -> anyhow::Result<(Standing, SocketAddr)> {
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
        .args(more);
    command.arg("-cert").arg(dir.join("cert/tls.crt"));
    command.arg("-key").arg(dir.join("cert/tls.key"));
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = child.spawn().context("openssl is needed")?;
    let stdout = child.stdout.take().context("a pipe was asked for")?;
    let mut stdout = BufReader::new(stdout);
    // It says `ACCEPT 127.0.0.1:PORT` when it listens.
    let mut line = String::new();
    while stdout.read_line(&mut line)? > 0 {
        if let Some((_, port)) = line.strip_prefix("ACCEPT").and_then(|rest| rest.rsplit_once(':')) {
            let addr = SocketAddr::from(([127, 0, 0, 1], port.trim().parse()?));
            return Ok((Standing::Program(child, stdout), addr));
        }
        line.clear();
    }
    anyhow::bail!("openssl s_server does not listen")
}
