//! Tree: what does a screen reader read, in which order?
//!
//! Pages are drawn one by one, while a table or a list goes on over many of them: what is drawn gets a leaf at once,
//! and the tree is put together at the end.

use krilla::tagging::{Identifier, Node, TagGroup, TagKind, TagTree};

/// The tags of a document.
#[derive(Default)]
pub(crate) struct Tree {
    knots: Vec<Knot>,
    roots: Vec<usize>,
    open: Vec<usize>,
    leaves: Vec<Option<Identifier>>,
}

/// One tag, by its place in the tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnotId(usize);

/// Something drawn, by its place in the tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeafId(usize);

struct Knot {
    tag: Option<TagKind>,
    children: Vec<Child>,
}

#[derive(Clone, Copy)]
enum Child {
    Knot(usize),
    Leaf(usize),
}

impl Tree {
    /// Begins a tag within the one that is open.
    pub(crate) fn open(&mut self, tag: impl Into<TagKind>) -> KnotId {
        let knot = self.add(tag);
        self.open.push(knot.0);
        knot
    }

    /// Ends the tag that was begun last.
    pub(crate) fn close(&mut self) {
        self.open.pop();
    }

    /// Adds a tag to the one that is open, without opening it.
    pub(crate) fn add(&mut self, tag: impl Into<TagKind>) -> KnotId {
        let at = self.knots.len();
        self.knots.push(Knot { tag: Some(tag.into()), children: Vec::new() });
        match self.open.last() {
            Some(&parent) => self.knots[parent].children.push(Child::Knot(at)),
            None => self.roots.push(at),
        }
        KnotId(at)
    }

    /// Something that will be drawn under a tag.
    pub(crate) fn leaf(&mut self, under: KnotId) -> LeafId {
        let at = self.leaves.len();
        self.leaves.push(None);
        self.knots[under.0].children.push(Child::Leaf(at));
        LeafId(at)
    }

    /// Says what was drawn.
    pub(crate) fn drawn(&mut self, leaf: LeafId, as_what: Identifier) {
        self.leaves[leaf.0] = Some(as_what);
    }

    /// The whole tree. What was never drawn is not in it.
    pub(crate) fn grow(mut self) -> TagTree {
        let mut tree = TagTree::new();
        for root in std::mem::take(&mut self.roots) {
            if let Some(group) = self.group(root) {
                tree.push(Node::Group(group));
            }
        }
        tree
    }

    /// Depth is that of our own layout: at most a cell in a row in a table in a section.
    fn group(&mut self, at: usize) -> Option<TagGroup> {
        let tag = self.knots[at].tag.take()?;
        let children = std::mem::take(&mut self.knots[at].children);
        let mut group = TagGroup::new(tag);
        for child in children {
            match child {
                Child::Knot(knot) => group.children.extend(self.group(knot).map(Node::Group)),
                Child::Leaf(leaf) => group.children.extend(self.leaves[leaf].map(Node::Leaf)),
            }
        }
        (!group.children.is_empty()).then_some(group)
    }
}
