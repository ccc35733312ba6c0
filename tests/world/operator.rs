//! The operator's requests to a node, what its disk keeps of them, and its file.

use vipd::engine::{Answer, Input};
use vipd::model::{Config, InstanceConfig, InstanceName};

use super::World;

impl World {
    pub(crate) fn hand_over(&mut self, node: usize, instance: InstanceName) {
        self.ask(node, |request| Input::Handover { request, instance, to: None });
    }

    /// The whole node.
    pub(crate) fn stand_by(&mut self, node: usize, force: bool) {
        self.ask(node, |request| Input::Standby { request, instance: None, force });
    }

    pub(crate) fn go_online(&mut self, node: usize) {
        self.ask(node, |request| Input::Online { request, instance: None });
    }

    /// Nobody listens while no daemon runs.
    fn ask(&mut self, node: usize, question: impl FnOnce(u64) -> Input) {
        if self.nodes[node].engine.is_some() {
            let request = self.nodes[node].machine.request();
            self.nodes[node].steady_since = self.now;
            self.input(node, question(request));
        }
    }

    /// The shell keeps what is out, on the disk. From then on the node has nothing.
    pub(super) fn answered(&mut self, node: usize, answer: &Answer) {
        let state = &mut self.nodes[node];
        state.steady_since = self.now;
        if let Answer::Standby(answer) = answer {
            state.standby = answer.standby.covers(&state.instance().name);
        }
    }

    /// Replaces the file of a node. If its daemon runs, the daemon takes the new file.
    pub(crate) fn configure(&mut self, node: usize, config: Config) {
        let state = &mut self.nodes[node];
        let (old, new) = (state.instance(), &config.instances[0]);
        // Another virtual router: the one before leaves, and this one starts.
        let identity = |one: &InstanceConfig| (one.virtual_router_id, one.interface.clone());
        let reidentified = identity(old) != identity(new);
        // No other change is an excuse for a delayed takeover.
        let steady = !reidentified && state.config.tracks == config.tracks;
        // While the daemon is paused, the lease before the first of several reloads counts.
        let is_kept = state.lease_before.is_some_and(|(_, at)| state.idle_since <= Some(at));
        if state.idle_since.is_none() || !is_kept {
            state.lease_before = Some((old.lease, self.now));
        }
        if reidentified {
            state.reidentified = Some(self.now);
        }
        state.config.clone_from(&config);
        state.reconfigured = self.now;
        if !steady {
            state.steady_since = self.now;
        }
        self.input(node, Input::Reload { config: Box::new(config) });
    }
}
