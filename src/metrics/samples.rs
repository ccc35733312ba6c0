//! A sample of each instance, and its labels.

use super::families::Labels;
use crate::engine::status::InstanceStatus;

pub(super) type Instances<'a> = [&'a InstanceStatus];

pub(super) fn each(
    instances: &Instances<'_>,
    value: impl Fn(&InstanceStatus) -> u64,
) -> impl Iterator<Item = (Labels, u64)> {
    instances.iter().map(move |instance| (labels(instance), value(instance)))
}

pub(super) fn labels(instance: &InstanceStatus) -> Labels {
    vec![("vrrp_instance", instance.name.to_string())]
}

pub(super) fn with(instance: &InstanceStatus, label: &'static str, value: &str) -> Labels {
    vec![("vrrp_instance", instance.name.to_string()), (label, value.to_owned())]
}
