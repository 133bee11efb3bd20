//! recueil-device-host: one plugin, one device, in a sandbox.

use std::io::Write as _;

fn main() {
    let code = match recueil_device_host::run() {
        Ok(()) => 0,
        // Seen only by who starts it by hand: to others standard error is closed by then.
        Err(error) => {
            writeln!(std::io::stderr(), "recueil-device-host: {error}").ok();
            1
        }
    };
    recueil_device_host::end(code)
}
