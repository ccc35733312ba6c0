//! What is waited for, in a few words.

use std::sync::{Arc, Mutex, PoisonError};

/// What a look or a hook waits for: one that does not end in time says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doing(Arc<Mutex<String>>);

impl Doing {
    /// From now on it waits for this.
    pub(crate) fn set(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// What it was last; then nothing.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
