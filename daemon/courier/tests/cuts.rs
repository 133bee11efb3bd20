//! The line is cut: after every byte of a small parcel's exchange, either way, and in every part of a large one.
//! However it comes, CERT has one dossier with one fate, and nothing but a verified receipt tells it.
//!
//! CI cuts at every seventh byte of the ciphertext, beginning with another one each way, and at every byte of the
//! parcel itself; `cargo xtask faults line --all` at all.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::io::Write;

use common::*;
use jiff::Timestamp;
use recueil_cert::Server;
use recueil_cert::proxy::{End, Proxy, Way};
use recueil_dossier::{DossierId, ReceiptKind, sha256_hex};
use recueil_seal::{ExpectedReceipt, ReceiptTrust, Roots, verify_receipt};
use recueil_wire::courier::Call;

/// What is sent in most of these tests.
const SMALL: usize = 200;
/// Dossiers of one CERT, which looks through all of them for each.
const BATCH: u32 = 200;

/// Says what was done; shown by the runner with the outcome.
fn say(line: &str) {
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

fn all() -> bool {
    std::env::var_os("RECUEIL_FAULTS_ALL").is_some()
}

/// A station, a CERT and a line that can be cut.
struct Rig {
    place: Place,
    server: Server,
    line: Proxy,
    courier: Running,
    sent: Vec<DossierId>,
    trust: ReceiptTrust,
}

impl Rig {
    async fn new(chunk_bytes: u64) -> Self {
        let place = Place::in_memory();
        let server = Server::start(&place.cert_dir).await.unwrap();
        let line = Proxy::start(server.addr()).await.unwrap();
        let config = recueil_courier::Config {
            chunk_bytes,
            ..place.config(Some(line.addr().port()))
        };
        let courier = place.courier_with(config).await;
        let roots = Roots::from_der(&[certificate(&place.station("trust/receipt-root.crt"))]).unwrap();
        let trust = ReceiptTrust::new(roots, "1.3.6.1.4.1.61001.1.1").unwrap();
        Self {
            place,
            server,
            line,
            courier,
            sent: Vec::new(),
            trust,
        }
    }

    /// Puts a parcel that CERT will store and refuse into the outbox.
    fn put(&mut self, number: u32, bytes: &[u8]) -> DossierId {
        let mut random = [0; 10];
        random[..4].copy_from_slice(&number.to_be_bytes());
        let id = DossierId::new(Timestamp::from_second(1_800_000_000).unwrap(), random);
        self.sent.push(id);
        self.place.put(id, bytes);
        id
    }

    /// Carries it to its end; both receipts are CERT's word about these bytes. How many tries failed.
    async fn carry(&mut self, id: DossierId, bytes: &[u8], context: &str) -> u32 {
        let failures = self.courier.carry(id).await;
        for (name, kind) in [("r1", ReceiptKind::Stored), ("reject", ReceiptKind::Refused)] {
            let receipt = self.place.receipt(id, name).expect(context);
            let expected = ExpectedReceipt {
                dossier: id,
                parcel_sha256: &sha256_hex(bytes),
                size: u64::try_from(bytes.len()).unwrap(),
                station: &"ST-1".parse().unwrap(),
                manifest_sha256: "",
            };
            let receipt = verify_receipt(&receipt, &self.trust, &expected).expect(context);
            assert_eq!(receipt.kind, kind, "{context}");
        }
        assert!(self.place.receipt(id, "r2").is_none(), "{context}");
        assert_eq!(
            std::fs::read(self.place.parcel_path(id)).unwrap(),
            bytes,
            "{context}"
        );
        failures
    }

    /// As `recueild` does when the dossier has come to its end.
    fn take_away(&self, id: DossierId) {
        std::fs::remove_file(self.place.parcel_path(id)).unwrap();
    }

    /// What CERT says of everything that was sent, by its list and by the receipts that it gave.
    async fn end(self) {
        let list = listed(&self.server).await;
        let dossiers = list["dossiers"].as_array().unwrap();
        assert_eq!(dossiers.len(), self.sent.len());
        assert!(
            dossiers.iter().all(|dossier| dossier["state"] == "refused"),
            "{list}"
        );
        assert!(list["alarms"].as_array().unwrap().is_empty(), "{list}");
        let mut given: Vec<String> = std::fs::read_dir(self.place.cert_dir.join("store/receipts"))
            .unwrap()
            // SERIAL-ID.KIND.p7s
            .map(|entry| entry.unwrap().file_name().to_str().unwrap()[11..].to_owned())
            .collect();
        given.sort();
        let mut expected: Vec<String> = self
            .sent
            .iter()
            .flat_map(|id| [format!("{id}.r1.p7s"), format!("{id}.reject.p7s")])
            .collect();
        expected.sort();
        assert_eq!(given, expected, "one R1 and one end each");
        self.courier.stop().await;
        self.server.stop().await;
    }
}

/// Cuts at `first`, `first + step` and so on until the exchange is over before its cut. The count of cuts.
async fn cut_the_exchange(way: Way, end: End, first: u64, step: u64) -> u64 {
    let bytes = junk(SMALL);
    let (mut after, mut cuts) = (first, 0);
    loop {
        let mut rig = Rig::new(65_536).await;
        for number in 0..BATCH {
            let context = format!("{way:?} cut after byte {after}, {end:?}");
            // Each begins with new connections, so that the handshake is cut too.
            rig.line.drop_all();
            rig.line.cut(way, after, end);
            let id = rig.put(number, &bytes);
            rig.carry(id, &bytes, &context).await;
            rig.take_away(id);
            if rig.line.mend() {
                rig.end().await;
                return cuts;
            }
            cuts += 1;
            after += step;
        }
        rig.end().await;
    }
}

/// All cuts of one way, on as many lines as there are processors.
fn cut_everywhere(way: Way, end: End) {
    let (begun, step) = (std::time::Instant::now(), if all() { 1 } else { 7 });
    let lines = u64::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    let threads: Vec<_> = (0..lines)
        .map(|line| {
            let cuts = cut_the_exchange(way, end, line * step, lines * step);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(cuts)
            })
        })
        .collect();
    let cuts: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let seconds = begun.elapsed().as_secs_f32();
    say(&format!(
        "{way:?}, {end:?}: {cuts} cuts, every {step} bytes, {seconds:.1} s"
    ));
    // Two handshakes with client certificates and six questions are thousands of bytes either way.
    assert!(cuts * step > 2_000, "only {cuts} cuts, every {step} bytes");
}

#[test]
fn a_question_cut_after_any_byte_makes_no_second_fate() {
    cut_everywhere(Way::Up, End::Reset);
}

#[test]
fn an_answer_cut_after_any_byte_makes_no_second_fate() {
    cut_everywhere(Way::Down, End::Closed);
}

#[tokio::test]
async fn a_parcel_of_which_any_count_of_bytes_arrived_goes_on_from_there() {
    let bytes = junk(SMALL);
    let mut rig = Rig::new(65_536).await;
    for kept in 0..SMALL {
        order(
            &rig.server,
            &format!(r#"{{"do":"fault","kind":"cut-after","bytes":{kept}}}"#),
        )
        .await;
        let id = rig.put(u32::try_from(kept).unwrap(), &bytes);
        let failures = rig.carry(id, &bytes, &format!("{kept} bytes kept")).await;
        assert_eq!(failures, 1, "{kept} bytes kept");
        rig.take_away(id);
    }
    rig.end().await;
}

/// A parcel of many parts, and the bytes of one.
fn large() -> (Vec<u8>, u64) {
    if all() {
        (junk(36 << 20), 1 << 20)
    } else {
        (junk((2 << 20) + 12_345), 64 << 10)
    }
}

#[tokio::test]
async fn a_large_parcel_cut_in_every_part_is_sent_little_more_than_once() {
    let (bytes, chunk) = large();
    let size = u64::try_from(bytes.len()).unwrap();
    let mut rig = Rig::new(chunk).await;
    let _before = rig.line.count();
    let cuts = size / chunk;
    // Each cut is armed when the one before has come: the next half part that arrives is the last before it.
    let id = rig.put(0, &bytes);
    for _ in 0..cuts {
        order(
            &rig.server,
            &format!(r#"{{"do":"fault","kind":"cut-after","bytes":{}}}"#, chunk / 2),
        )
        .await;
        rig.courier.until_failed(id).await;
        rig.courier.news.clear();
        rig.courier.call(Call::Look).await.0.unwrap();
    }
    rig.carry(id, &bytes, "cut in every part").await;
    let (up, _down) = rig.line.count();
    // What was on the way when it was cut is sent again: no more than a part each time.
    let most = size + cuts * (chunk + (64 << 10)) + size / 50;
    say(&format!(
        "{size} bytes, {cuts} cuts: {up} bytes sent, {most} at most"
    ));
    assert!(up <= most, "{up} bytes for a parcel of {size}, {cuts} cuts");
    rig.end().await;
}

#[tokio::test]
async fn the_answer_to_each_part_of_a_large_parcel_may_be_lost() {
    let (bytes, chunk) = large();
    let parts = u64::try_from(bytes.len()).unwrap().div_ceil(chunk);
    let mut rig = Rig::new(chunk).await;
    for part in 0..parts {
        let lost = format!(r#"{{"do":"answer-wrong","to":"patch","skip":{part},"count":1,"how":"lost"}}"#);
        order(&rig.server, &lost).await;
        let id = rig.put(u32::try_from(part).unwrap(), &bytes);
        let _before = rig.line.count();
        let failures = rig
            .carry(id, &bytes, &format!("answer to part {part} lost"))
            .await;
        assert_eq!(failures, 1, "the answer to part {part} is lost");
        let (up, _down) = rig.line.count();
        let size = u64::try_from(bytes.len()).unwrap();
        assert!(
            up < size + size / 50 + (32 << 10),
            "part {part} is not sent again: {up}"
        );
        rig.take_away(id);
    }
    rig.end().await;
}

#[tokio::test]
async fn each_answer_of_the_way_may_be_lost_any_number_of_times() {
    let bytes = junk(SMALL);
    let mut rig = Rig::new(65_536).await;
    let routes = ["announce", "patch", "commit", "receipt", "head"];
    let mut number = 0;
    for route in routes {
        for (how, count) in [("lost", 1), ("lost", 3), ("dropped", 1), ("dropped", 3)] {
            let wrong = format!(r#"{{"do":"answer-wrong","to":"{route}","count":{count},"how":"{how}"}}"#);
            order(&rig.server, &wrong).await;
            let id = rig.put(number, &bytes);
            rig.carry(id, &bytes, &wrong).await;
            rig.take_away(id);
            order(&rig.server, r#"{"do":"lift"}"#).await;
            number += 1;
        }
    }
    rig.end().await;
}
