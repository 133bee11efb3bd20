//! What a station finds before its services start: folders with their owners, CERT's keys, enrolment, configuration.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use recueil_faultfs::FaultFs;
use serde_json::{Value, json};

use super::{OwnDisk, STATION, Station};
use crate::folders::{binary, project_path};
use crate::plugins;
use crate::users::Users;

impl Station {
    pub(super) fn make_folders(&self) -> anyhow::Result<()> {
        let Users {
            recueil,
            host,
            courier,
            hardware,
            ..
        } = self.users;
        let folder = |name: &str, user, group, mode| self.folders.folder(name, user, group, mode).map(drop);
        folder(&self.kept("state"), recueil, recueil, 0o700)?;
        folder(&self.kept("ready"), recueil, courier, 0o2750)?;
        folder(&self.carried(), courier, recueil, 0o2750)?;
        folder("host", host, host, 0o700)?;
        folder("run/hostd", host, host, 0o755)?;
        folder("run/courier", courier, courier, 0o755)?;
        // Where services work: whatever they leave there is seen, a core too.
        folder("work", recueil, recueil, 0o777)?;
        folder("devices", hardware, hardware, 0o755)?;
        let plugins = self.folders.path("plugins");
        plugins::install_simulator(&plugins)?;
        for name in &self.options.plugins {
            plugins::install_c(&plugins, name)?;
        }
        Ok(())
    }

    /// Where `recueild` keeps something: on the disk of its own, where there is one.
    fn kept(&self, name: &str) -> String {
        if self.disk.is_some() || self.faulty.is_some() {
            format!("disk/{name}")
        } else {
            name.to_owned()
        }
    }

    /// Where the courier keeps what it has.
    fn carried(&self) -> String {
        match self.faulty {
            Some(_) => "disk/courier".to_owned(),
            None => "courier".to_owned(),
        }
    }

    /// CERT's store lies there too, by a link: its keys do not.
    pub(super) fn mount_faulty(&self) -> anyhow::Result<FaultFs> {
        let at = self.folders.path("disk");
        std::fs::create_dir(&at)?;
        let disk = FaultFs::mount(&at)?;
        std::fs::create_dir(self.folders.path("cert"))?;
        let cert = self.users.cert;
        let store = self.folders.folder("disk/cert", cert, cert, 0o700)?;
        std::os::unix::fs::symlink(store, self.folders.path("cert/store"))?;
        Ok(disk)
    }

    pub(super) fn make_cert(&self) -> anyhow::Result<()> {
        let dir = self.folders.path("cert");
        let mut command = Command::new(binary("recueil-cert")?);
        command.arg("init").arg(&dir).args(["--station", STATION]);
        let status = command.status().context("recueil-cert cannot be started")?;
        anyhow::ensure!(status.success(), "recueil-cert init failed");
        // What the station gets lies outside CERT's folder, each key with its service.
        let station = dir.join("station");
        let keys = self
            .folders
            .folder("keys", self.users.recueil, self.users.recueil, 0o755)?;
        for (name, user) in [
            ("seal.key", self.users.recueil),
            ("encryption.key", self.users.recueil),
            ("tls.key", self.users.courier),
        ] {
            std::fs::copy(station.join(name), keys.join(name))?;
            self.folders.give(&keys.join(name), user, user)?;
        }
        for name in ["seal.crt", "encryption.crt", "tls.crt"] {
            std::fs::copy(station.join(name), keys.join(name))?;
        }
        for name in [
            "tls-root",
            "cert-encryption",
            "escrow",
            "cert-root",
            "receipt-root",
        ] {
            std::fs::copy(
                station.join(format!("trust/{name}.crt")),
                keys.join(format!("{name}.crt")),
            )?;
        }
        self.folders.give_tree(&dir, self.users.cert)
    }

    pub(super) fn write_config(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.folders.path(name).display().to_string();
        let key = |name: &str| self.folders.path("keys").join(name).display().to_string();
        let keys = if self.options.cert {
            json!({
                "seal_key": key("seal.key"),
                "seal_certificate": key("seal.crt"),
                "encryption_key": key("encryption.key"),
                "encryption_certificate": key("encryption.crt"),
                "cert_roots": [key("cert-root.crt")],
                "recipients": [key("cert-encryption.crt"), key("escrow.crt")],
                "receipt_roots": [key("receipt-root.crt")],
            })
        } else {
            Value::Null
        };
        let analyser = if self.users.separate {
            json!({ "socket": at("run/analyser.sock") })
        } else {
            // Nobody could give it a user of its own: `status` says "not separated".
            json!({ "program": binary("recueil-analyser")?.display().to_string() })
        };
        let mut recueild = json!({
            "state_dir": at(&self.kept("state")),
            "ready_dir": at(&self.kept("ready")),
            "receipts_dir": at(&self.carried()) + "/receipts",
            "hostd_socket": at("run/hostd/hostd.sock"),
            "courier_socket": at("run/courier/courier.sock"),
            "procedures_dir": self.procedures()?.display().to_string(),
            "profiles_dir": project_path("config/profiles").display().to_string(),
            "status_poll_s": 1,
            "steal_after_s": self.options.steal_after_s,
            "capture": { "analyser": analyser, "hand_s": self.options.hand_s },
            "quotas": self.options.quotas,
            // On a small disk of its own, no space is set aside: a full disk is to be met at once. What lies on a faulty one
            // lies in memory.
            "reserve_mib": match self.options.own_disk {
                Some(OwnDisk::Small(_)) => 0,
                Some(OwnDisk::Faulty) => 1,
                None => 64,
            },
        });
        let mut courier = json!({
            "socket": at("run/courier/courier.sock"),
            "recueild": self.users.recueil.0,
            "ready_dir": at(&self.kept("ready")),
            "state_dir": at(&self.carried()),
            "station": STATION,
        });
        if let (Some(recueild), Some(courier), true) = (
            recueild.as_object_mut(),
            courier.as_object_mut(),
            self.options.cert,
        ) {
            recueild.insert("keys".to_owned(), keys);
            courier.extend([
                (
                    "url".to_owned(),
                    json!(match self.options.line {
                        Some(line) => format!("https://{line}"),
                        None => format!("https://{}", self.cert_address.as_deref().unwrap_or_default()),
                    }),
                ),
                ("tls_key".to_owned(), json!(key("tls.key"))),
                ("tls_certificate".to_owned(), json!(key("tls.crt"))),
                ("tls_roots".to_owned(), json!([key("tls-root.crt")])),
            ]);
        }
        if let (Some(courier), Some(more)) = (courier.as_object_mut(), self.options.courier.as_object()) {
            courier.extend(more.clone());
        }
        let config = json!({
            "station": { "id": if self.options.cert { STATION } else { "" } },
            "recueild": recueild,
            "hostd": {
                "socket": at("run/hostd/hostd.sock"),
                "recueild": self.users.recueil.0,
                "plugin_dirs": [at("plugins")],
                "state_dir": at("host"),
                "host_program": binary("recueil-device-host")?.display().to_string(),
                "virtual_dir": at("devices"),
                "landlock_abi_max": 2,
                "trust_own_uid": true,
                "restart": { "failures_max": self.options.driver_failures_max },
            },
            "courier": courier,
        });
        Ok(std::fs::write(
            self.folders.path("recueil.toml"),
            toml::to_string(&config)?,
        )?)
    }

    /// The project's procedures, or a folder with more.
    fn procedures(&self) -> anyhow::Result<PathBuf> {
        let own = project_path("config/procedures");
        if self.options.procedures.is_empty() {
            return Ok(own);
        }
        let user = self.users.recueil;
        let dir = self.folders.folder("procedures", user, user, 0o755)?;
        for entry in std::fs::read_dir(own)? {
            let path = entry?.path();
            std::fs::copy(&path, dir.join(path.file_name().unwrap_or_default()))?;
        }
        for (name, text) in &self.options.procedures {
            std::fs::write(dir.join(name), text)?;
        }
        Ok(dir)
    }
}
