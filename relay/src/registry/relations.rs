//! Who is made under whom, and who may therefore talk to whom.

use std::collections::{BTreeSet, HashMap};

use shared::ids::WorkspaceId;

/// How far apart an ancestor and a descendant may be: deeper trees than this are mistakes, and no
/// answer may take long.
const LEVELS_MAX: usize = 32;

/// The tree of all workspaces that ever were: a removed one is still a link of the chain.
#[derive(Debug, Default)]
pub(super) struct Relations {
    parents: HashMap<WorkspaceId, Option<WorkspaceId>>,
    children: HashMap<WorkspaceId, BTreeSet<WorkspaceId>>,
}

impl Relations {
    /// Takes in a workspace; its parent never changes.
    pub(super) fn insert(&mut self, id: WorkspaceId, parent: Option<WorkspaceId>) {
        self.parents.insert(id, parent);
        if let Some(parent) = parent {
            self.children.entry(parent).or_default().insert(id);
        }
    }

    /// Those that were made under `id`, removed ones included.
    pub(super) fn children(&self, id: &WorkspaceId) -> impl Iterator<Item = &WorkspaceId> {
        self.children.get(id).into_iter().flatten()
    }

    /// Whether the communication rule lets the two talk, in whichever direction: they are the
    /// same, or siblings (all roots are), or one is an ancestor of the other.
    pub(super) fn may_talk(&self, a: &WorkspaceId, b: &WorkspaceId) -> bool {
        let (Some(parent_of_a), Some(parent_of_b)) = (self.parents.get(a), self.parents.get(b))
        else {
            return false;
        };
        a == b || parent_of_a == parent_of_b || self.is_above(a, b) || self.is_above(b, a)
    }

    fn is_above(&self, ancestor: &WorkspaceId, id: &WorkspaceId) -> bool {
        let parent_of = |id: &WorkspaceId| self.parents.get(id).copied().flatten();
        std::iter::successors(parent_of(id), parent_of).take(LEVELS_MAX).any(|at| at == *ancestor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    fn id(number: u128) -> WorkspaceId {
        WorkspaceId::new(Ulid(number))
    }

    /// Each pair is a workspace and its parent; 0 is none.
    fn tree(pairs: &[(u128, u128)]) -> Relations {
        let mut relations = Relations::default();
        for &(child, parent) in pairs {
            relations.insert(id(child), (parent != 0).then(|| id(parent)));
        }
        relations
    }

    #[test]
    fn the_rule_pair_by_pair() {
        // 1 and 2 are roots; 1 has 11 and 12; 11 has 111 and 112; 12 has 121; 2 has 21.
        let tree =
            tree(&[(1, 0), (2, 0), (11, 1), (12, 1), (111, 11), (112, 11), (121, 12), (21, 2)]);
        for (a, b, allowed, why) in [
            (1, 1, true, "the same"),
            (111, 111, true, "the same"),
            (1, 2, true, "roots are siblings"),
            (11, 12, true, "siblings"),
            (111, 112, true, "siblings"),
            (1, 11, true, "parent"),
            (1, 111, true, "grandparent"),
            (11, 21, false, "cousins under two roots"),
            (111, 121, false, "cousins"),
            (11, 121, false, "uncle"),
            (2, 11, false, "another root's child"),
            (2, 111, false, "another root's grandchild"),
            (1, 9, false, "unknown"),
            (9, 9, false, "unknown"),
        ] {
            assert_eq!(tree.may_talk(&id(a), &id(b)), allowed, "{a} to {b}: {why}");
            assert_eq!(tree.may_talk(&id(b), &id(a)), allowed, "{b} to {a}: {why}");
        }
    }

    #[test]
    fn a_chain_reaches_thirty_two_levels() {
        let chain: Vec<_> = (1..=40).map(|number| (number, number - 1)).collect();
        let chain = tree(&chain);
        assert!(chain.may_talk(&id(1), &id(33)) && chain.may_talk(&id(33), &id(1)));
        assert!(!chain.may_talk(&id(1), &id(34)) && !chain.may_talk(&id(34), &id(1)));
    }

    #[test]
    fn a_ring_that_cannot_be_ends_the_search_all_the_same() {
        let ring = tree(&[(1, 3), (2, 1), (3, 2), (4, 0)]);
        assert!(!ring.may_talk(&id(1), &id(4)));
        assert!(ring.may_talk(&id(1), &id(2)));
    }

    #[test]
    fn children_are_listed_by_age() {
        let tree = tree(&[(1, 0), (13, 1), (11, 1), (111, 11)]);
        assert_eq!(tree.children(&id(1)).copied().collect::<Vec<_>>(), [id(11), id(13)]);
        assert_eq!(tree.children(&id(13)).count(), 0);
    }
}
