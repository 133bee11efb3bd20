//! `monitor`: what changes, line by line, until Ctrl-C. It outlives the station's service.

use std::collections::BTreeMap;
use std::time::Duration;

use recueil_bus::{DeviceView, News, StatusView};
use serde_json::json;

use crate::capturing::Interrupts;
use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::page::Page;
use crate::session::{Session, call};
use crate::shapes;
use crate::verbs::devices;

/// What no signal tells is asked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(mut session: Session, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut seen = Seen::default();
    seen.station(true, output);
    seen.devices(call(recueil_bus::devices(&session.connection)).await?, output);
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = interrupts.next() => return Ok(()),
            news = session.watch.next() => match news {
                None => return Err(Failure::no_station(&"the bus ended")),
                Some(News::Station { running }) => seen.station(running, output),
                Some(News::Device) if seen.running => {
                    // It may have left just now; its leaving comes as news of its own.
                    if let Ok(now) = call(recueil_bus::devices(&session.connection)).await {
                        seen.devices(now, output);
                    }
                }
                Some(_) => {}
            },
            _ = look.tick(), if seen.running => {
                if let Ok(now) = call(session.station.status()).await {
                    seen.status(&now, output);
                }
            }
        }
    }
}

/// What was told last; only what differs is told.
#[derive(Debug, Default)]
struct Seen {
    running: bool,
    devices: BTreeMap<String, DeviceView>,
    line: Option<(String, u32, u32)>,
}

impl Seen {
    fn station(&mut self, running: bool, output: &Output) {
        if self.running == running {
            return;
        }
        *self = Self {
            running,
            ..Self::default()
        };
        let text = if running {
            "station: running"
        } else {
            "station: not running"
        };
        output.report(&Report {
            json: json!({ "event": "station", "running": running }),
            page: Page::of_line(text),
        });
    }

    fn devices(&mut self, now: Vec<DeviceView>, output: &Output) {
        for device in now {
            if self.devices.get(&device.id) == Some(&device) {
                continue;
            }
            output.report(&Report {
                json: json!({ "event": "device", "device": shapes::device(&device) }),
                page: Page::default().table(
                    &[],
                    vec![
                        std::iter::once("device:".into())
                            .chain(devices::row(&device))
                            .collect(),
                    ],
                ),
            });
            self.devices.insert(device.id.clone(), device);
        }
    }

    fn status(&mut self, now: &StatusView, output: &Output) {
        let line = (now.cert.clone(), now.drafts, now.outbox);
        if self.line.as_ref() == Some(&line) {
            return;
        }
        output.report(&Report {
            json: json!({ "event": "status", "status": shapes::status(now) }),
            page: Page::of_line(format!(
                "CERT: {}, drafts: {}, outbox: {}",
                now.cert, now.drafts, now.outbox
            )),
        });
        self.line = Some(line);
    }
}
