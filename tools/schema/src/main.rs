//! Makes `src/wire/generated.rs` from `schema/campanile.fbs`. `--check` only tells whether it is fresh.
//!
//! ```sh
//! cargo run --manifest-path tools/schema/Cargo.toml            # after a change of the schema
//! cargo run --manifest-path tools/schema/Cargo.toml -- --check # what `.ci/run --long` does
//! ```
//!
//! flatc comes with the crate flatc-fork, built from its C++ source, because a distribution's flatc is too old for today's
//! flatbuffers crate. That build needs cmake (Debian: `cmake`; PyPI: `cmake`) and a C++ compiler.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

const SCHEMA: &str = "schema/campanile.fbs";
const GENERATED: &str = "src/wire/generated.rs";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => generate().and_then(|fresh| write(&fresh)),
        ["--check"] => generate().and_then(|fresh| check(&fresh)),
        _ => Err("usage: campanile-schema [--check]".into()),
    };
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("campanile-schema: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The repository: this package lies in its tools/schema.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The code as it should be, with the version that made it on top.
fn generate() -> Result<String, String> {
    let dir = env::temp_dir().join(format!("campanile-schema-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|error| of(&dir, &error))?;
    let code = run_flatc(&dir);
    fs::remove_dir_all(&dir).map_err(|error| of(&dir, &error))?;
    Ok(marked(
        &fs::read_to_string(root().join(SCHEMA)).map_err(|error| of(Path::new(SCHEMA), &error))?,
        &flatc_version()?,
        &code?,
    ))
}

/// The code, with what it was made from on top: so that a test sees without flatc that the schema or the code has been changed since.
fn marked(schema: &str, version: &str, code: &str) -> String {
    let [schema, of_code] = [schema, code].map(|text| sha1_smol::Sha1::from(text).digest());
    let made = format!("// Made from {SCHEMA} by {version} with tools/schema; do not edit.");
    format!("{made}\n// SHA-1 of the schema {schema}, of what follows this line {of_code}\n{code}")
}

/// What flatc writes for the schema.
fn run_flatc(dir: &Path) -> Result<String, String> {
    let schema = root().join(SCHEMA);
    let output =
        flatc().arg("--rust").arg("-o").arg(dir).arg(&schema).output().map_err(|error| of(Path::new("flatc"), &error))?;
    if !output.status.success() {
        // flatc tells its errors on stdout.
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        return Err(format!("flatc refuses the schema: {}", said.trim()));
    }
    let file = dir.join("campanile_generated.rs");
    fs::read_to_string(&file).map_err(|error| of(&file, &error))
}

/// `flatc version 25.12.19`.
fn flatc_version() -> Result<String, String> {
    let output = flatc().arg("--version").output().map_err(|error| of(Path::new("flatc"), &error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The flatc that flatc-fork was built to.
fn flatc() -> Command {
    Command::new(flatc_fork::flatc())
}

/// Replaces the committed code.
fn write(fresh: &str) -> Result<String, String> {
    let path = root().join(GENERATED);
    fs::write(&path, fresh).map_err(|error| of(&path, &error))?;
    Ok(format!("{GENERATED} is written"))
}

/// Compares with the committed code.
fn check(fresh: &str) -> Result<String, String> {
    let path = root().join(GENERATED);
    let committed = fs::read_to_string(&path).map_err(|error| of(&path, &error))?;
    if committed == fresh {
        return Ok(format!("{GENERATED} is fresh"));
    }
    let line = committed.lines().zip(fresh.lines()).take_while(|(old, new)| old == new).count() + 1;
    Err(format!("{GENERATED} is stale from line {line}; make it with: cargo run --manifest-path tools/schema/Cargo.toml"))
}

/// An error of the system, with what it is about.
fn of(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
