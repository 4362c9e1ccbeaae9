//! Which weir a command means: a configuration, a data directory, or the environment.
//!
//! In: `--config`, `--data-dir`, `WEIR_DATA_DIR`. Out: the data directory.
//! Never: a password of the configuration; only the place is read from it.

use std::path::{Path, PathBuf};

use super::fail::{EXIT_CONFIG, EXIT_UNREACHABLE, Failure};

/// Where weir keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Place {
    /// Configuration whose data directory is meant
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub config: Option<PathBuf>,
    /// Data directory [default: $WEIR_DATA_DIR, or weir-data where a weir has run]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Place {
    /// The data directory.
    ///
    /// # Errors
    /// Nothing names one.
    pub fn data_dir(&self) -> Result<PathBuf, Failure> {
        self.find(std::env::var_os("WEIR_DATA_DIR").map(PathBuf::from))
    }

    fn find(&self, variable: Option<PathBuf>) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        if let Some(file) = &self.config {
            return data_dir_of(file);
        }
        if let Some(dir) = variable.filter(|dir| !dir.as_os_str().is_empty()) {
            return Ok(dir);
        }
        let default = PathBuf::from(DATA_DIR_DEFAULT);
        if default.is_dir() {
            return Ok(default);
        }
        let message = "which weir? neither --config, --data-dir nor WEIR_DATA_DIR is given";
        Err(Failure::new(EXIT_UNREACHABLE, message)
            .hint("give --data-dir, as printed by `weir run` or written in its configuration"))
    }
}

/// Reads `data_dir` alone: the rest of the file may name secrets that are not at hand here.
fn data_dir_of(file: &Path) -> Result<PathBuf, Failure> {
    let wrong = |error: String| {
        Failure::new(EXIT_CONFIG, format!("{}: {error}", file.display()))
            .hint("`weir check --config` says what is wrong with a configuration")
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    let dir = table
        .get("data_dir")
        .and_then(toml::Value::as_str)
        .ok_or_else(|| wrong("`data_dir` is missing".to_owned()))?;
    // A relative path counts from the folder of the file, as it does for `weir run`.
    Ok(file.parent().unwrap_or(Path::new("")).join(dir))
}

/// Where `weir run --target` keeps its data unless told otherwise.
pub const DATA_DIR_DEFAULT: &str = "weir-data";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_beats_the_environment() {
        let place = Place { config: None, data_dir: Some("a".into()) };
        assert_eq!(place.find(Some("b".into())), Ok("a".into()));
        assert_eq!(Place::default().find(Some("b".into())), Ok("b".into()));
        let nothing = Place::default().find(Some("".into())).unwrap_err();
        assert_eq!(nothing.code(), EXIT_UNREACHABLE);
    }

    #[test]
    fn a_configuration_names_its_data_directory() {
        let dir = std::env::temp_dir().join(format!("weir-place-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("weir.toml");
        let place = Place { config: Some(file.clone()), data_dir: None };
        let check = |text: &str, expect: Option<PathBuf>| {
            std::fs::write(&file, text).unwrap();
            assert_eq!(place.find(None).ok(), expect, "{text}");
        };
        check("data_dir = '/var/lib/weir'", Some("/var/lib/weir".into()));
        check("data_dir = 'data'\n[x]\ny = 1", Some(dir.join("data")));
        check("data_dir = 7", None);
        check("x = 1", None);
        check("data_dir = ", None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
