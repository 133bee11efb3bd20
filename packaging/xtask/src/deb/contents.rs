//! What lies where in the packages.

/// A package.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) files: &'static [File],
    /// A plugin's manifest and the library whose digest it holds.
    pub(crate) manifest: Option<(&'static str, &'static str)>,
}

/// A file or folder of a package, by its path from the root.
pub(crate) struct File {
    pub(crate) from: Source,
    pub(crate) to: &'static str,
}

/// Where it comes from.
pub(crate) enum Source {
    /// Cargo built it.
    Program(&'static str),
    /// A file of the project.
    Project(&'static str),
    /// The files of a folder of the project that have one of these endings.
    Folder(&'static str, &'static [&'static str]),
    /// A folder with nothing in it.
    Empty,
}

const fn program(from: &'static str, to: &'static str) -> File {
    let from = Source::Program(from);
    File { from, to }
}

const fn file(from: &'static str, to: &'static str) -> File {
    let from = Source::Project(from);
    File { from, to }
}

const fn folder(from: &'static str, endings: &'static [&'static str], to: &'static str) -> File {
    let from = Source::Folder(from, endings);
    File { from, to }
}

pub(crate) const RECUEIL: Package = Package {
    name: "recueil",
    files: &[
        program("recueilctl", "usr/bin/recueilctl"),
        program("recueild", "usr/libexec/recueil/recueild"),
        program("recueil-hostd", "usr/libexec/recueil/recueil-hostd"),
        program("recueil-device-host", "usr/libexec/recueil/recueil-device-host"),
        program("recueil-analyser", "usr/libexec/recueil/recueil-analyser"),
        program("recueil-courier", "usr/libexec/recueil/recueil-courier"),
        File {
            from: Source::Empty,
            to: "usr/lib/recueil/plugins",
        },
        file("config/recueil.toml", "etc/recueil/recueil.toml"),
        folder("config/procedures", &["toml"], "etc/recueil/procedures"),
        folder("config/profiles", &["toml"], "etc/recueil/profiles"),
        file(
            "packaging/systemd/recueild.service",
            "usr/lib/systemd/system/recueild.service",
        ),
        file(
            "packaging/systemd/recueil-hostd.service",
            "usr/lib/systemd/system/recueil-hostd.service",
        ),
        file(
            "packaging/systemd/recueil-courier.service",
            "usr/lib/systemd/system/recueil-courier.service",
        ),
        file(
            "packaging/systemd/recueil-analyser.socket",
            "usr/lib/systemd/system/recueil-analyser.socket",
        ),
        file(
            "packaging/systemd/recueil-analyser@.service",
            "usr/lib/systemd/system/recueil-analyser@.service",
        ),
        file(
            "packaging/sysusers.d/recueil.conf",
            "usr/lib/sysusers.d/recueil.conf",
        ),
        file(
            "packaging/tmpfiles.d/recueil.conf",
            "usr/lib/tmpfiles.d/recueil.conf",
        ),
        file(
            "packaging/dbus/fr.recueil.Station1.conf",
            "usr/share/dbus-1/system.d/fr.recueil.Station1.conf",
        ),
        folder("sdk/dbus", &["xml"], "usr/share/dbus-1/interfaces"),
        file(
            "packaging/polkit/fr.recueil.station1.policy",
            "usr/share/polkit-1/actions/fr.recueil.station1.policy",
        ),
        file("README.md", "usr/share/doc/recueil/README.md"),
        file("packaging/debian/copyright", "usr/share/doc/recueil/copyright"),
    ],
    manifest: None,
};

pub(crate) const SIMULATOR: Package = Package {
    name: "recueil-simulator",
    files: &[
        program(
            "librecueil_plugin_simulator.so",
            "usr/lib/recueil/plugins/simulator/librecueil_plugin_simulator.so",
        ),
        file(
            "plugins/simulator/plugin.toml",
            "usr/lib/recueil/plugins/simulator/plugin.toml",
        ),
        program("recueil-virtual", "usr/libexec/recueil/recueil-virtual"),
        folder(
            "tests/fixtures/images",
            &["toml", "jpg", "pgm", "md"],
            "usr/share/recueil-simulator/images",
        ),
        file(
            "packaging/systemd/recueil-virtual.service",
            "usr/lib/systemd/system/recueil-virtual.service",
        ),
        file(
            "packaging/sysusers.d/recueil-simulator.conf",
            "usr/lib/sysusers.d/recueil-simulator.conf",
        ),
        file(
            "plugins/simulator/README.md",
            "usr/share/doc/recueil-simulator/README.md",
        ),
        file(
            "packaging/debian/copyright",
            "usr/share/doc/recueil-simulator/copyright",
        ),
    ],
    manifest: Some((
        "usr/lib/recueil/plugins/simulator/plugin.toml",
        "usr/lib/recueil/plugins/simulator/librecueil_plugin_simulator.so",
    )),
};
