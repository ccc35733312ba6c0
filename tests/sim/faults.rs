//! The events of a schedule, and its end.

use vipd::time::Span;

use crate::group::{self, instance_name};
use crate::reload;
use crate::schedule::{Fault, Schedule};
use crate::world::{Setup, WALL, World};

impl Schedule {
    pub(crate) fn setup(&self) -> Setup {
        let Self { group, machines, seed, .. } = self;
        let nodes = 0..group.priorities.len();
        Setup {
            seed: *seed,
            segments: (0..group.wire.paths()).map(group::interface_of).collect(),
            links: nodes.clone().map(|node| group::links(group, node)).collect(),
            configs: nodes.map(|node| reload::whole(group, machines, node)).collect(),
            tracks: group.tracks.clone(),
            keys: group::keys(group),
            signed: group.wire.signed,
            window: Span::from_secs(group::WINDOW.into()),
            delay: group.delay,
            kernel: Some(machines.kernel),
        }
    }

    pub(crate) fn inflict(&self, world: &mut World, fault: Fault) {
        world.tell(None, &format!("{fault:?}"));
        world.disturbed = world.now;
        match fault {
            Fault::PowerOff { node } => world.power_off(node),
            // On a machine that sleeps nothing is killed.
            Fault::Kill { node } if world.nodes[node].suspended => {}
            Fault::Kill { node } => world.kill(node),
            Fault::KillAfter { node, actions } => world.nodes[node].dies_after = Some(actions),
            Fault::Release { node } => world.release(node),
            Fault::HandOver { node } => world.hand_over(node, instance_name()),
            Fault::StandBy { node, force } => world.stand_by(node, force),
            Fault::Online { node } => world.go_online(node),
            Fault::Reload { node, seed } => world.configure(node, self.reloaded(node, seed)),
            Fault::Suspend { node, length } => world.suspend(node, length),
            Fault::Stop { node } => world.stop(node),
            Fault::Start { node } => world.start(node),
            Fault::Pause { node, length } => world.pause(node, length),
            Fault::LinkDown { node } => world.set_carrier(node, 0, false),
            Fault::LinkUp { node } => restore_link(world, node),
            Fault::InterfaceDown { node } => world.set_up(node, 0, false),
            Fault::Unnumber { node } => world.set_numbered(node, 0, false),
            Fault::RefuseSends { node, count } => {
                world.nodes[node].mute = count;
                world.nodes[node].muted = Some(world.now);
            }
            Fault::RefuseSockets { node, count } => refuse_sockets(world, node, count),
            Fault::Rubbish { percent } => world.rubbish = percent,
            Fault::Partition { side } => world.partitions[0] = Some(side),
            Fault::Heal => {
                world.partitions[0] = None;
                world.one_way.clear();
            }
            Fault::OneWay { path, from, to } => {
                world.one_way.insert((path, from, to));
            }
            Fault::PartitionSecond { side } => world.partitions[1] = Some(side),
            Fault::HealSecond => world.partitions[1] = None,
            Fault::Loss { percent } => world.loss = percent,
            Fault::WallClock { node, seconds } => {
                let now = world.now;
                for other in &mut world.nodes {
                    (other.clock_set, other.steady_since) = (now, now);
                }
                let wall = &mut world.nodes[node].wall;
                *wall = wall.saturating_add_signed(seconds.saturating_mul(1_000_000_000));
            }
            Fault::Delete { node } => world.delete(node),
            Fault::RefuseAddresses { node, count } => {
                world.nodes[node].refusals = count;
                world.nodes[node].refused = Some(world.now);
            }
            Fault::Recreate { node } => world.recreate(node, 0),
            Fault::RecreateSecond { node, refused } => {
                refuse_sockets(world, node, refused);
                world.recreate(node, 1);
            }
            Fault::Turn { node, track, truth } => world.turn(node, track, truth),
        }
    }

    /// Ends every fault; at least one machine runs afterwards.
    pub(crate) fn mend(&self, world: &mut World) {
        world.tell(None, "everything is mended");
        let now = world.now;
        world.disturbed = now;
        for node in &mut world.nodes {
            (node.clock_set, node.steady_since) = (now, now);
        }
        (world.loss, world.rubbish) = (0, 0);
        world.partitions.fill(None);
        world.one_way.clear();
        for node in 0..world.nodes.len() {
            self.mend_node(world, node);
        }
        if world.nodes.iter().all(|node| node.engine.is_none()) {
            world.start(0);
        }
    }

    fn mend_node(&self, world: &mut World, node: usize) {
        let state = &mut world.nodes[node];
        (state.refusals, state.mute, state.deaf) = (0, 0, 0);
        world.nodes[node].dies_after = None;
        if self.group.wire.signed {
            world.nodes[node].wall = WALL;
        }
        if world.nodes[node].stopping {
            // Asked twice it ends at once: from now on it is there, or it isn't.
            world.stop(node);
        }
        restore_link(world, node);
        let whole = reload::whole(&self.group, &self.machines, node);
        if world.nodes[node].config != whole {
            world.configure(node, whole);
        }
        if world.rng.bool() {
            world.go_online(node);
        }
        if world.rng.bool() {
            world.start(node);
        } else if world.nodes[node].machine.held.values().any(|lease| lease.ends.is_none()) {
            // As systemd does when the daemon has died.
            world.release(node);
        }
    }
}

fn refuse_sockets(world: &mut World, node: usize, count: u8) {
    world.nodes[node].deaf = count;
    world.nodes[node].deafened = Some(world.now);
}

fn restore_link(world: &mut World, node: usize) {
    world.set_up(node, 0, true);
    world.set_numbered(node, 0, true);
    world.set_carrier(node, 0, true);
}
