use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A plugin folder of our own, right in every way.
struct Folder {
    _root: tempfile::TempDir,
    dir: PathBuf,
    trust: Trust,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().canonicalize().unwrap().join("com.acme.fp200");
        std::fs::create_dir(&dir).unwrap();
        chmod(&dir, 0o755);
        let folder = Self {
            _root: root,
            dir,
            trust: Trust::root_and(rustix::process::geteuid().as_raw()),
        };
        folder.write("lib.so", b"library");
        folder.write("table.bin", b"table");
        folder.write(FILE_NAME, manifest("1.0.0").as_bytes());
        folder
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.dir.join(name);
        std::fs::write(&path, content).unwrap();
        chmod(&path, 0o644);
    }

    fn admit(&self) -> Result<Admitted, Error> {
        Admitted::admit(&self.dir, &self.trust)
    }

    /// The folder is refused, the reason says `reason`, the advice `advice`.
    fn check(&self, reason: &str, advice: &str) {
        match self.admit() {
            Err(Error::Refused { what, advice: given }) => {
                assert!(what.contains(reason), "{what:?} does not say {reason:?}");
                assert!(given.contains(advice), "{given:?} does not say {advice:?}");
            }
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn manifest(version: &str) -> String {
    format!(
        "manifest = 1\nid = \"com.acme.fp200\"\nname = \"FP200\"\nversion = \"{version}\"\nabi = \"1.0\"\n\
         arch = \"{}-linux-gnu\"\nlibrary = \"lib.so\"\nsha256 = \"{}\"\nfiles = {{ \"table.bin\" = \"{}\" }}\n\
         modalities = [\"fingerprint\"]\nmatch = [{{ bus = \"virtual\", model = \"fp4\" }}]\n",
        std::env::consts::ARCH,
        Sha256::of(b"library"),
        Sha256::of(b"table"),
    )
}

#[test]
fn a_sound_folder_is_admitted_and_its_library_opened() {
    let folder = Folder::new();
    let admitted = folder.admit().unwrap();
    assert_eq!(admitted.manifest.id, "com.acme.fp200");
    let library = admitted.open_library(&folder.trust).unwrap();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(library), &mut content).unwrap();
    assert_eq!(content, b"library", "the offset is at the beginning");
}

#[test]
fn what_others_can_write_is_refused() {
    for (name, mode) in [
        ("lib.so", 0o664),
        ("table.bin", 0o646),
        (FILE_NAME, 0o666),
        ("", 0o775),
        ("", 0o1777),
    ] {
        let folder = Folder::new();
        chmod(&folder.dir.join(name), mode);
        folder.check("can be written", "chmod go-w");
    }
    let folder = Folder::new();
    chmod(folder.dir.parent().unwrap(), 0o777);
    folder.check("can be written", "chmod go-w");
}

#[test]
fn a_folder_of_everybody_may_be_on_the_way_on_a_private_bus_only() {
    let folder = Folder::new();
    chmod(folder.dir.parent().unwrap(), 0o1777);
    folder.admit().unwrap();
    let strict = Trust {
        sticky_parents: false,
        ..folder.trust.clone()
    };
    assert!(matches!(
        Admitted::admit(&folder.dir, &strict),
        Err(Error::Refused { .. })
    ));
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let mut folder = Folder::new();
    let me = rustix::process::geteuid().as_raw();
    folder.trust.owners = vec![me + 1];
    folder.check("belongs to uid", "chown root:root");
    if me == 0 {
        for name in ["lib.so", "table.bin", FILE_NAME, ""] {
            let folder = Folder::new();
            std::os::unix::fs::chown(folder.dir.join(name), Some(61_999), None).unwrap();
            folder.check("belongs to uid 61999", "chown root:root");
        }
    }
}

#[test]
fn a_changed_added_or_missing_file_is_refused() {
    let folder = Folder::new();
    folder.write("lib.so", b"librarY");
    folder.check("lib.so is not the file", "install");
    let folder = Folder::new();
    folder.write("table.bin", b"");
    folder.check("table.bin is not the file", "install");
    let folder = Folder::new();
    folder.write("extra.so", b"");
    folder.check("extra.so is not named", "remove");
    let folder = Folder::new();
    std::fs::remove_file(folder.dir.join("table.bin")).unwrap();
    folder.check("table.bin is missing", "install");
    let folder = Folder::new();
    folder.write(FILE_NAME, &vec![b'#'; 65 << 10]);
    folder.check("larger than", "vendor");
    let folder = Folder::new();
    folder.write(FILE_NAME, b"\xff");
    folder.check("UTF-8", "vendor");
}

#[test]
fn links_and_pipes_are_not_followed() {
    let folder = Folder::new();
    let elsewhere = folder.dir.parent().unwrap().join("lib.so");
    std::fs::rename(folder.dir.join("lib.so"), &elsewhere).unwrap();
    symlink(&elsewhere, folder.dir.join("lib.so")).unwrap();
    folder.check("a link or not a plain file", "install");

    let folder = Folder::new();
    std::fs::remove_file(folder.dir.join("table.bin")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.dir.join("table.bin"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    folder.check("a link or not a plain file", "install");

    let mut folder = Folder::new();
    let link = folder.dir.parent().unwrap().join("link");
    symlink(&folder.dir, &link).unwrap();
    folder.dir = link;
    folder.check("a link or not a folder", "without links");
}

#[test]
fn a_file_changed_between_two_loads_is_not_loaded() {
    let folder = Folder::new();
    let admitted = folder.admit().unwrap();
    admitted.open_library(&folder.trust).unwrap();
    folder.write("lib.so", b"another");
    assert!(matches!(
        admitted.open_library(&folder.trust),
        Err(Error::Refused { .. })
    ));
}

#[test]
fn a_plugin_exchanged_for_another_version_needs_a_restart() {
    let folder = Folder::new();
    let admitted = folder.admit().unwrap();
    folder.write(FILE_NAME, manifest("1.0.1").as_bytes());
    match admitted.open_library(&folder.trust) {
        Err(Error::Refused { what, advice }) => {
            assert!(
                what.contains("changed") && advice.contains("restart"),
                "{what} {advice}"
            );
        }
        other => panic!("loaded all the same: {other:?}"),
    }
}
