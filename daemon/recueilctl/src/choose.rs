//! Which device a capture takes.

use std::time::Duration;

use recueil_bus::{Code, DeviceView, News};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::{Session, call};

/// A device that is coming may take this long.
const COMING: Duration = Duration::from_secs(10);

/// The device that was named, or the first of the modality that is ready and not held by another user.
pub(crate) async fn device(
    session: &mut Session,
    named: Option<&str>,
    modality: &str,
    progress: &mut Progress,
) -> Result<String, Failure> {
    if let Some(id) = named {
        return Ok(id.to_owned());
    }
    let until = tokio::time::Instant::now() + COMING;
    loop {
        let devices = call(recueil_bus::devices(&session.connection)).await?;
        let fit: Vec<_> = devices
            .into_iter()
            .filter(|device| fits(device, modality))
            .collect();
        if let Some(ready) = fit
            .iter()
            .find(|device| device.state == "ready" && device.holder_uid.is_none())
        {
            return Ok(ready.id.clone());
        }
        progress.say(&format!("waiting for a {modality} to be ready"));
        let changed = async {
            while let Some(news) = session.watch.next().await {
                match news {
                    News::Device => return true,
                    News::Station { running: false } => return false,
                    _ => {}
                }
            }
            false
        };
        match tokio::time::timeout_at(until, changed).await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::station_left()),
            Err(_elapsed) => return Err(none_ready(&fit, modality)),
        }
    }
}

/// One that was never opened does not say yet what it is.
fn fits(device: &DeviceView, modality: &str) -> bool {
    device.modalities.iter().any(|one| one == modality)
}

fn none_ready(fit: &[DeviceView], modality: &str) -> Failure {
    let Some(device) = fit.first() else {
        let text = format!("no {modality} is known; plug one in and look at `recueilctl devices`");
        return Failure::new(Code::UnknownDevice, text);
    };
    let (code, text) = match device.state.as_str() {
        "ready" | "in-session" => (
            Code::Busy,
            format!("the {modality} is in use; wait for the other capture to end"),
        ),
        "absent" => (
            Code::UnknownDevice,
            format!("the {modality} is unplugged; plug it in"),
        ),
        _ => (
            Code::DeviceTrouble,
            format!("the {modality} is not ready; look at `recueilctl devices`"),
        ),
    };
    Failure::new(code, text)
        .with("device", device.id.as_str())
        .with("state", device.state.as_str())
}
