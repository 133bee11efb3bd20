//! Files of an administrator or a vendor.

use std::fs;

use crate::{Result, put, root};

pub(crate) fn write() -> Result {
    let config = fs::read_to_string(root().join("config/recueil.toml"))?;
    // Users of a package need not exist here.
    let config = config.replace("recueild = \"recueil\"", "recueild = 990");
    // Shortened: comments are most of the file.
    let lines: Vec<&str> = config
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let config = lines.join("\n");
    for target in ["config-hostd", "config-courier", "config-recueild"] {
        put(target, "shipped", config.as_bytes())?;
    }
    let courier = format!(
        "{config}\n[courier]\nurl = 'https://cert.example:8443'\ntls_key = '/k'\ntls_certificate = '/c'\ntls_roots = ['/r']\n"
    );
    put("config-courier", "url", b"https://[::1]:8443")?;
    put(
        "config-courier",
        "with-url",
        courier.replacen("[courier]\n", "", 1).as_bytes(),
    )?;
    put(
        "manifest",
        "simulator",
        &fs::read(root().join("plugins/simulator/plugin.toml"))?,
    )?;
    put(
        "manifest",
        "usb",
        b"manifest = 1\nid = 'com.acme.fp'\nname = 'Acme'\nversion = '1.0'\nabi = '1.0'\narch = 'x86_64-linux-gnu'\nlibrary = 'libfp.so'\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'\nmodalities = ['fingerprint']\n[files]\n'table.bin' = '0000000000000000000000000000000000000000000000000000000000000001'\n[[match]]\nbus = 'usb'\nvid = '05ba'\npid = '000a'\niface = 0\n[[match]]\nbus = 'serial'\nusb_vid = '0403'\nusb_pid = '6001'\nask = true\n[limits]\nmemory_mib = 64\nthreads = 2\n[config]\n'gain' = '5'\n",
    )?;
    for name in ["cni-adulte", "remise-cni"] {
        put(
            "procedure",
            name,
            &fs::read(root().join(format!("config/procedures/{name}.toml")))?,
        )?;
    }
    put(
        "profile",
        "cni",
        &fs::read(root().join("config/profiles/cni.toml"))?,
    )?;
    Ok(())
}
