//! A courier on a disk that fails, and how it comes to its end all the same.

use recueil_dossier::DossierId;
use recueil_faultfs::FaultFs;
use recueil_wire::courier::Stage;

use super::*;

/// A CERT, and a courier's folders on a disk of their own, with one parcel in the outbox.
pub(crate) struct Story {
    pub(crate) fs: FaultFs,
    pub(crate) server: Server,
    pub(crate) place: Place,
    pub(crate) id: DossierId,
}

/// How a run of the courier came to a stop.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Every receipt is there.
    Ended,
    /// It told that something failed, and goes on trying.
    Failed,
    /// It ended itself, or did not even start.
    Itself(Error),
}

impl Story {
    pub(crate) async fn new() -> Self {
        let mut place = Place::new();
        let disk = place.root.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let fs = FaultFs::mount(&disk).unwrap();
        (place.ready_dir, place.state_dir) = (disk.join("ready"), disk.join("state"));
        for folder in [&place.ready_dir, &place.state_dir] {
            std::fs::create_dir(folder).unwrap();
        }
        let server = Server::start(&place.cert_dir).await.unwrap();
        let (id, bytes) = place.sealed(1);
        place.put(id, &bytes);
        fs.settle();
        Self {
            fs,
            server,
            place,
            id,
        }
    }

    /// Runs a courier until it has come to its end, or until something fails where that is `watched` for.
    pub(crate) async fn run(&self, watched: bool) -> Stop {
        let courier = match Courier::bind(self.place.config(Some(self.server.addr().port()))) {
            Ok(courier) => courier,
            Err(error) => return Stop::Itself(error),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let mut task = tokio::spawn(recueil_courier::run(courier, async {
            let _whatever = stopped.await;
        }));
        let socket = AsyncSocket::connect(&self.place.socket()).unwrap();
        let news = async {
            while let Ok(received) = socket.recv::<FromCourier>().await {
                match received.message {
                    FromCourier::Progress(progress) if progress.stage == Stage::Ended => {
                        return Some(Stop::Ended);
                    }
                    FromCourier::Progress(progress) if watched && progress.failures > 0 => {
                        return Some(Stop::Failed);
                    }
                    _ => {}
                }
            }
            None
        };
        let heard = timeout(PATIENCE, news).await.expect("news of the courier");
        let _ended_itself = stop.send(());
        let ended = timeout(PATIENCE, &mut task)
            .await
            .expect("the end of the courier")
            .unwrap();
        match (heard, ended) {
            (Some(stop), Ok(())) => stop,
            (_, Err(error)) => Stop::Itself(error),
            (None, Ok(())) => panic!("the courier hung up and did not end"),
        }
    }

    /// One dossier at CERT, both receipts whole, and the parcel still there: it is `recueild`'s to erase.
    pub(crate) async fn check(self, context: &str) {
        let list = listed(&self.server).await;
        let dossiers = list["dossiers"].as_array().unwrap();
        assert_eq!(dossiers.len(), 1, "{context}: {list}");
        assert_eq!(dossiers[0]["state"], "ingested", "{context}");
        assert!(list["alarms"].as_array().unwrap().is_empty(), "{context}: {list}");
        assert!(self.place.parcel_path(self.id).exists(), "{context}");
        let mut left: Vec<_> = std::fs::read_dir(self.place.state_dir.join("receipts"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let receipts = ["r1", "r2"].map(|kind| format!("{}.{kind}.p7s", self.id));
        assert_eq!(left, receipts, "{context}");
        for kind in ["r1", "r2"] {
            let bytes = self.place.receipt(self.id, kind).unwrap();
            assert!(
                holds(&self.place.cert_dir, &bytes),
                "{context}: {kind} is not what CERT gave"
            );
        }
        self.server.stop().await;
    }
}

/// Whether a file below the folder is these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, bytes)
        } else {
            std::fs::read(&path).is_ok_and(|found| found == bytes)
        }
    })
}
