//! Who works beside what happens, and counts what it hears of it.

use std::io::Read;
use std::time::Duration;

use recueil_tests::{Client, Followed};
use tokio::sync::watch;

use crate::say;

/// Between two reads.
const READ_EVERY: Duration = Duration::from_millis(5);

/// Reads and scans until standard input ends, and sees the last scan to its end.
pub(crate) async fn watch(mut client: Client, dossier: Followed, scanner: &str) -> anyhow::Result<()> {
    let ended = input_ended();
    say("watching")?;
    let reads = async {
        let mut seen = Seen::default();
        while !*ended.borrow() {
            seen.add(dossier.dossier.missing().await.is_ok());
            tokio::time::sleep(READ_EVERY).await;
        }
        seen
    };
    let scans = async {
        let mut seen = Seen::default();
        while !*ended.borrow() {
            let scan = client.capture(&dossier, "signature", scanner, None).await;
            seen.add(scan.is_ok_and(|scan| scan.view.state == "completed"));
        }
        seen
    };
    let (reads, scans) = tokio::join!(reads, scans);
    say(&format!(
        "{} {}",
        reads.failures + scans.failures,
        reads.calls + scans.calls
    ))
}

#[derive(Default)]
struct Seen {
    failures: u32,
    calls: u32,
}

impl Seen {
    fn add(&mut self, went_well: bool) {
        self.calls += 1;
        self.failures += u32::from(!went_well);
    }
}

fn input_ended() -> watch::Receiver<bool> {
    let (tell, ended) = watch::channel(false);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // An error is an end too.
        drop(std::io::stdin().read_to_end(&mut rest));
        tell.send(true)
    });
    ended
}
