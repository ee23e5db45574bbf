//! How many requests the relay carries at a time, all agents together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The open requests of the relay. Clones are handles to the same count.
#[derive(Debug, Clone)]
pub struct Load {
    open: Arc<AtomicUsize>,
    max: usize,
}

/// Counts one open request. Dropping it makes room.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Load {
    /// At most `max` requests.
    pub fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    /// A place for one more, unless all are taken.
    pub fn enter(&self) -> Option<Place> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.open));
        (before < self.max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_given_back_once() {
        let load = Load::new(2);
        let (first, second) = (load.enter().unwrap(), load.enter().unwrap());
        assert!(load.enter().is_none());
        assert!(load.enter().is_none(), "a refusal takes no place");
        drop(first);
        let third = load.enter().unwrap();
        assert!(load.enter().is_none());
        drop((second, third));
        assert_eq!(load.open.load(Ordering::Relaxed), 0);
    }
}
