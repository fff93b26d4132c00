//! The two sides of the terminal: lines that are typed, and lines that are shown while someone types.

use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::sync::mpsc as std_mpsc;

use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::sync::mpsc;

/// Lines that wait to be understood. Only input that is no terminal can be ahead.
const LINES_MAX: usize = 16;

/// Shows lines above the prompt.
pub struct Screen {
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Screen {
    /// Whether someone types at a prompt.
    pub fn interactive(&self) -> bool {
        self.printer.is_some()
    }

    /// Shows one line (or several) without disturbing what is being typed.
    pub fn show(&mut self, line: &str) {
        let line = format!("{line}\n");
        // A terminal that is gone shows nothing; the end of input follows.
        match &mut self.printer {
            Some(printer) => drop(printer.print(line)),
            None => drop(stdout().write_all(line.as_bytes())),
        }
    }
}

/// What is typed.
pub struct Input {
    prompts: std_mpsc::Sender<String>,
    lines: mpsc::Receiver<String>,
}

impl Input {
    /// Asks for a line. Where someone types, this must come before every line.
    pub fn prompt(&self, prompt: String) {
        let _ = self.prompts.send(prompt);
    }

    /// The next line; None at the end of input.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }
}

/// Opens the terminal, or plain lines where input or output is none.
///
/// # Errors
/// A sentence, when there is a terminal but it cannot be used.
pub fn open() -> Result<(Input, Screen), String> {
    let (prompts, prompts_end) = std_mpsc::channel();
    let (lines_end, lines) = mpsc::channel(LINES_MAX);
    let printer = if stdin().is_terminal() && stdout().is_terminal() {
        let unusable = |why: ReadlineError| format!("The terminal cannot be used: {why}.");
        let mut editor = DefaultEditor::new().map_err(unusable)?;
        let printer: Box<dyn ExternalPrinter + Send> = Box::new(editor.create_external_printer().map_err(unusable)?);
        std::thread::spawn(move || edit_lines(&mut editor, &prompts_end, &lines_end));
        Some(printer)
    } else {
        std::thread::spawn(move || read_lines(&lines_end));
        None
    };
    Ok((Input { prompts, lines }, Screen { printer }))
}

/// One line for each prompt, until Ctrl-C or Ctrl-D.
fn edit_lines(editor: &mut DefaultEditor, prompts: &std_mpsc::Receiver<String>, lines: &mpsc::Sender<String>) {
    while let Ok(prompt) = prompts.recv() {
        let Ok(line) = editor.readline(&prompt) else { return };
        let _ = editor.add_history_entry(&line);
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

fn read_lines(lines: &mpsc::Sender<String>) {
    for line in stdin().lock().lines() {
        let Ok(line) = line else { return };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}
