//! Who reads the record with the command line is in the record.
//!
//! In: the data directory that is read. Out: a call to the weir that runs there, or a line for the
//! next one. Never: a record that is shown though nobody can write down who reads it; a line that
//! weir cannot read because another user of the machine wrote it.
//!
//! Files that nobody can change, as those of a backup that is mounted for reading, are no place of
//! a weir: they are shown, and the reader is told that nothing records it.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use super::fail::{EXIT_REFUSED, Failure};
use super::output::note;
use super::remote::Remote;
use crate::admin::shape::{Reading, Recorded};
use crate::admin::{audit, clock};

/// Says that the command that runs reads the record of a data directory.
///
/// # Errors
/// That can be told to nobody and stand nowhere.
pub fn tell(data_dir: &Path) -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let reading = Reading {
        command: arguments.next().unwrap_or_default(),
        arguments: arguments.collect(),
        login: login(),
        at: clock::to_text(clock::utc_us()),
    };
    let running = Remote::find(data_dir).and_then(|remote| remote.post("/v1/readings", &reading));
    let recorded = running.and_then(|answer| answer.read::<Recorded>());
    if recorded.is_ok_and(|it| it.recorded) {
        return Ok(());
    }
    match keep(data_dir, &reading) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            note("this reading is not recorded: the files are read-only");
            Ok(())
        }
        Err(error) => Err(unrecorded(data_dir, &error)),
    }
}

fn unrecorded(data_dir: &Path, error: &Error) -> Failure {
    let path = audit::pending_path(data_dir);
    let message = format!("this reading cannot be recorded: {}: {error}", path.display());
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "run as the user that weir runs as, or as root; if that is you, another user made the \
             file: {}",
            audit::remedy(data_dir)
        ),
        ErrorKind::FileTooLarge => "start weir: it takes what is in it".to_owned(),
        _ => "it is a file of the data directory, which has to have room for it".to_owned(),
    };
    Failure::new(EXIT_REFUSED, message).hint(hint)
}

/// Keeps it for the next start of weir.
fn keep(data_dir: &Path, reading: &Reading) -> std::io::Result<()> {
    let line = format!("{}\n", serde_json::to_string(reading)?);
    // Whoever may write to the directory may have put another file there, or a link to one.
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(audit::pending_path(data_dir))?;
    let about = file.metadata()?;
    if !about.is_file() || about.nlink() != 1 {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no file of its own"));
    }
    if about.len() + line.len() as u64 > audit::PENDING_BYTES_MAX {
        return Err(Error::new(ErrorKind::FileTooLarge, "it is full"));
    }
    give(&file, data_dir)?;
    // One write, so that lines of two programs do not mix.
    file.write_all(line.as_bytes())
}

/// Gives the file to whom the directory belongs: weir, which is to read it. Nobody but root has to.
fn give(file: &File, data_dir: &Path) -> std::io::Result<()> {
    let (own, of) = (file.metadata()?, std::fs::metadata(data_dir)?);
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
    if is_root && (own.uid(), own.gid()) != (of.uid(), of.gid()) {
        fchown(file, Some(of.uid()), Some(of.gid()))?;
    }
    Ok(())
}

/// The name that the environment gives, which anybody may set, and the number that the kernel does.
fn login() -> String {
    let name = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let number = std::fs::metadata("/proc/self").map(|it| it.uid().to_string());
    format!("{name} uid {}", number.as_deref().unwrap_or("?")).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::record::testing::Folder;

    fn reading() -> Reading {
        let (command, login) = ("search".to_owned(), "uid 0".to_owned());
        Reading { command, arguments: Vec::new(), login, at: String::new() }
    }

    #[test]
    fn what_is_kept_belongs_to_whom_the_directory_belongs() {
        let dir = Folder::new();
        // Root alone can give files away; for anybody else the directory is their own.
        let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
        if is_root {
            std::os::unix::fs::chown(&dir.0, Some(65_534), Some(65_534)).unwrap();
        }
        let path = audit::pending_path(&dir.0);
        // As an earlier version left it.
        std::fs::write(&path, "").unwrap();
        keep(&dir.0, &reading()).unwrap();
        keep(&dir.0, &reading()).unwrap();
        let (file, of) = (std::fs::metadata(&path).unwrap(), std::fs::metadata(&dir.0).unwrap());
        assert_eq!((file.uid(), file.gid()), (of.uid(), of.gid()));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn no_other_file_is_written_or_given_away() {
        let (dir, other) = (Folder::new(), Folder::new());
        let (path, victim) = (audit::pending_path(&dir.0), other.0.join("victim"));
        std::fs::write(&victim, "").unwrap();
        symlink(&victim, &path).unwrap();
        assert!(keep(&dir.0, &reading()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&victim, &path).unwrap();
        assert!(keep(&dir.0, &reading()).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "");
    }

    #[test]
    fn what_weir_would_not_take_is_refused() {
        let dir = Folder::new();
        let path = audit::pending_path(&dir.0);
        std::fs::write(&path, vec![b'\n'; audit::PENDING_BYTES_MAX as usize]).unwrap();
        let error = keep(&dir.0, &reading()).unwrap_err();
        let failure = unrecorded(&dir.0, &error);
        assert_eq!((error.kind(), failure.code()), (ErrorKind::FileTooLarge, EXIT_REFUSED));
    }
}
