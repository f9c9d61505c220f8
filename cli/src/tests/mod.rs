//! Runs command lines against a fleet that answers what a test says.

mod fake;
mod i2cdetect;
mod login;
mod ports;
mod proxy;
mod tree;
mod trust;
mod verbs;
mod words;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use onprem_description::{PageModel, document};
use serde_json::Value;

use crate::{run, screen::Screen};

/// What a command line did.
pub(super) struct Done {
    pub(super) code: u8,
    pub(super) out: String,
    pub(super) err: String,
}

/// A stream that keeps what is written.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `onprem` with these words.
pub(super) async fn onprem(words: &[&str]) -> Done {
    onprem_of(PageModel::get(), words).await
}

pub(super) async fn onprem_of(
    model: &'static PageModel,
    words: &[&str],
) -> Done {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (out, err) = (Kept::default(), Kept::default());
    let mut screen = Screen::kept(Box::new(out.clone()), Box::new(err.clone()));
    let words = ["onprem"].iter().chain(words).map(Into::into);
    let code = run::run(model, words, &mut screen).await;
    Done { code, out: out.text(), err: err.text() }
}

/// Runs `onprem` with these words, for a person who answers `answer`.
pub(super) async fn asked(words: &[&str], answer: &str) -> Done {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (out, err) = (Kept::default(), Kept::default());
    let screen = Screen::kept(Box::new(out.clone()), Box::new(err.clone()));
    let mut screen = screen.answering(answer);
    let words = ["onprem"].iter().chain(words).map(Into::into);
    let code = run::run(PageModel::get(), words, &mut screen).await;
    Done { code, out: out.text(), err: err.text() }
}

/// The model of the document with what `change` does to it.
pub(super) fn changed(change: impl FnOnce(&mut Value)) -> &'static PageModel {
    let mut document = document().clone();
    change(&mut document);
    Box::leak(Box::new(PageModel::from_document(&document)))
}
