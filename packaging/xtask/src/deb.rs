//! `cargo xtask deb [--out DIR] [--built DIR]`: the Debian packages `recueil` and `recueil-simulator`.

mod contents;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::packages;
use crate::run::{cargo, root, say, succeed, target};
use contents::{Package, RECUEIL, SIMULATOR, Source};

/// What packing needs.
const PACKING: &[&str] = &["binutils", "coreutils", "dpkg"];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Arguments { out, built } = Arguments::parse(arguments)?;
    packages::install(&[packages::SERVICES, PACKING])?;
    let programs = if let Some(dir) = &built {
        dir.clone()
    } else {
        succeed(&mut cargo(&["build", "--release", "--workspace", "--bins"]))?;
        succeed(&mut cargo(&[
            "build",
            "--release",
            "--package",
            "recueil-plugin-simulator",
        ]))?;
        target().join("release")
    };
    // A build for tests is packed for speed, a release for size.
    let compression = if built.is_some() { "-Znone" } else { "-Zxz" };
    pack_all(&programs, &out, compression)
}

/// Packs both packages into `out`.
pub(crate) fn pack_all(programs: &Path, out: &Path, compression: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)?;
    for package in [RECUEIL, SIMULATOR] {
        say(&pack(package, programs, out, compression)?.display().to_string());
    }
    Ok(())
}

struct Arguments {
    out: PathBuf,
    built: Option<PathBuf>,
}

impl Arguments {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut parsed = Self {
            out: target().join("debian"),
            built: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let value = words.next().map(PathBuf::from);
            match (word.as_str(), value) {
                ("--out", Some(dir)) => parsed.out = dir,
                ("--built", Some(dir)) => parsed.built = Some(dir),
                _ => bail!("deb [--out DIR] [--built DIR]: DIR of programs that are built already"),
            }
        }
        Ok(parsed)
    }
}

/// Stages a package's tree in `out` and packs it there.
fn pack(package: Package, programs: &Path, out: &Path, compression: &str) -> anyhow::Result<PathBuf> {
    let name = package.name;
    let stage = out.join(name);
    if stage.exists() {
        std::fs::remove_dir_all(&stage)?;
    }
    let mut needed = (2, 0);
    for file in package.files {
        let to = stage.join(file.to);
        std::fs::create_dir_all(to.parent().unwrap_or(&stage))?;
        match file.from {
            Source::Program(from) => {
                strip(&programs.join(from), &to)?;
                needed = needed.max(glibc(&to)?);
            }
            Source::Project(from) => copy(&root().join(from), &to)?,
            Source::Folder(from, endings) => copy_all(&root().join(from), &to, endings)?,
            Source::Empty => std::fs::create_dir_all(&to)?,
        }
    }
    if let Some((manifest, library)) = package.manifest {
        write_digest(&stage.join(manifest), &stage.join(library))?;
    }
    set_modes(&stage)?;
    control(package, &stage, needed)?;
    let version = env!("CARGO_PKG_VERSION");
    let deb = out.join(format!("{name}_{version}_{}.deb", architecture()?));
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", compression, "--build"]);
    succeed(pack.arg(&stage).arg(&deb).stdout(std::process::Stdio::null()))?;
    std::fs::remove_dir_all(&stage)?;
    Ok(deb)
}

/// `DEBIAN/`: the fields filled in, the scripts, and what an administrator may change.
fn control(package: Package, stage: &Path, (major, minor): (u32, u32)) -> anyhow::Result<()> {
    let from = root().join("packaging/debian").join(package.name);
    let to = stage.join("DEBIAN");
    std::fs::create_dir_all(&to)?;
    set_mode(&to, 0o755)?;
    let fields = std::fs::read_to_string(from.join("control"))?
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@ARCH@", &architecture()?)
        .replace("@GLIBC@", &format!("{major}.{minor}"));
    std::fs::write(to.join("control"), fields)?;
    for script in ["postinst", "prerm", "postrm"] {
        copy(&from.join(script), &to.join(script))?;
        set_mode(&to.join(script), 0o755)?;
    }
    let conffiles: Vec<String> = files_of(&stage.join("etc"))?
        .iter()
        .filter_map(|path| Some(format!("/{}\n", path.strip_prefix(stage).ok()?.display())))
        .collect();
    if !conffiles.is_empty() {
        std::fs::write(to.join("conffiles"), conffiles.concat())?;
    }
    Ok(())
}

/// A host refuses a library that is not the one its manifest names.
fn write_digest(manifest: &Path, library: &Path) -> anyhow::Result<()> {
    let output = read(Command::new("sha256sum").arg(library))?;
    let digest = output.split(' ').next().unwrap_or_default();
    let text = std::fs::read_to_string(manifest)?;
    let empty = "sha256 = \"\"";
    anyhow::ensure!(
        text.contains(empty),
        "{} has a digest already",
        manifest.display()
    );
    Ok(std::fs::write(
        manifest,
        text.replace(empty, &format!("sha256 = \"{digest}\"")),
    )?)
}

/// A copy without what only a debugger reads.
pub(crate) fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut strip = Command::new("strip");
    strip.arg("--strip-unneeded").arg("-o").arg(to).arg(from);
    let output = strip.output().context("strip cannot be started")?;
    anyhow::ensure!(
        output.status.success(),
        "{}: {}",
        from.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The first version of the C library that reads packed relocations.
const RELR: (u32, u32) = (2, 36);

/// The newest version of the C library that a program asks for.
fn glibc(program: &Path) -> anyhow::Result<(u32, u32)> {
    let is_packed = read(Command::new("objdump").arg("-p").arg(program))?.contains("GLIBC_ABI_DT_RELR");
    let least = if is_packed { RELR } else { (2, 0) };
    let symbols = read(Command::new("objdump").arg("-T").arg(program))?;
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let (major, rest) = rest.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    Ok(versions.fold(least, Ord::max))
}

fn architecture() -> anyhow::Result<String> {
    Ok(read(Command::new("dpkg").arg("--print-architecture"))?
        .trim()
        .to_owned())
}

fn read(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn copy_all(from: &Path, to: &Path, endings: &[&str]) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for path in files_of(from)? {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        if endings.contains(&ending.as_ref()) {
            let below = to.join(path.strip_prefix(from)?);
            std::fs::create_dir_all(below.parent().unwrap_or(to))?;
            copy(&path, &below)?;
        }
    }
    Ok(())
}

/// Every file below a folder, in order; none where the folder is missing.
fn files_of(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(files_of(&path)?);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Programs can be run, everything can be read, only root can write.
fn set_modes(dir: &Path) -> anyhow::Result<()> {
    set_mode(dir, 0o755)?;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            set_modes(&path)?;
        } else {
            let below = |folder: &str| path.parent().is_some_and(|parent| parent.ends_with(folder));
            set_mode(
                &path,
                if below("bin") || below("libexec/recueil") {
                    0o755
                } else {
                    0o644
                },
            )?;
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(mode),
    )?)
}
