//! The running server (placeholder).

/// Why the server did not start.
#[derive(Debug)]
pub struct StartError;

impl std::fmt::Display for StartError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for StartError {}

/// Runs the server until it is told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn serve(_config: crate::config::Config) -> Result<(), StartError> {
    Ok(())
}
