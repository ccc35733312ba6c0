//! A watcher's work, and its words to the protocol loop.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use crate::daemon::netlink::News;
use crate::engine::Input;
use crate::model::TrackName;

/// Tells the protocol loop.
#[derive(Clone, Debug)]
pub(super) struct Stir(pub(super) mpsc::Sender<News>);

impl Stir {
    /// These checks look at something that may have changed.
    pub(super) async fn all(&self, tracks: BTreeSet<TrackName>) {
        for track in tracks {
            let _ = self.0.send(News::Input(Input::Stirred { track })).await;
        }
    }

    /// People should know this.
    pub(super) async fn say(&self, text: String) {
        let _ = self.0.send(News::Trouble(text)).await;
    }
}

/// The checks of a watcher: their names, and the subject of each.
pub(super) type Wanted<T> = Vec<(TrackName, T)>;
