//! States that are the same for what comes next hash alike: a model checker counts on it, and so
//! may any cache.

/// Implements `Hash` by the fields before `without`. Those after it decide nothing that the type
/// does next: what people are told, counters, numbers of requests, copies of the configuration.
/// Every field stands in one of the lists; one that does not is a compile error.
macro_rules! hash_by {
    ($type:ty { $($field:ident),+ $(,)? } without { $($left_out:ident),+ $(,)? }) => {
        impl std::hash::Hash for $type {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                let Self { $($field,)+ $($left_out: _,)+ } = self;
                $(std::hash::Hash::hash($field, state);)+
            }
        }
    };
}
pub(crate) use hash_by;
