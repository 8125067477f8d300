//! Tree: what does a screen reader read, in which order?
//!
//! Pages are drawn one by one, while a table or a list goes on over many of them: what is drawn gets a leaf at once,
//! and the tree is put together at the end.

use krilla::tagging::{Identifier, Node, TagGroup, TagKind, TagTree};

/// The tags of a document.
#[derive(Default)]
pub(crate) struct Tree {
    knots: Vec<Knot>,
    /// The tags that knots bear, each once as far as it comes again.
    kinds: Vec<TagKind>,
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
    /// Its place among the kinds: half a million knots bear the same dozen tags.
    kind: u32,
    children: Vec<Child>,
}

impl Knot {
    /// Most knots are cells of a table with one leaf: room for four would be three too many, a hundred thousand times.
    fn hang(&mut self, child: Child) {
        if self.children.is_empty() {
            self.children.reserve_exact(1);
        }
        self.children.push(child);
    }
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
        let kind = self.kind(tag.into());
        self.knots.push(Knot { kind, children: Vec::new() });
        match self.open.last() {
            Some(&parent) => self.knots[parent].hang(Child::Knot(at)),
            None => self.roots.push(at),
        }
        KnotId(at)
    }

    fn kind(&mut self, tag: TagKind) -> u32 {
        // Titles and descriptions differ each time, and the dozen plain tags come first.
        let known = self.kinds.iter().take(24).position(|known| *known == tag);
        let at = known.unwrap_or_else(|| {
            self.kinds.push(tag);
            self.kinds.len() - 1
        });
        // A document has far fewer than four billion tags.
        u32::try_from(at).unwrap_or_default()
    }

    /// Something that will be drawn under a tag.
    pub(crate) fn leaf(&mut self, under: KnotId) -> LeafId {
        let at = self.leaves.len();
        self.leaves.push(None);
        self.knots[under.0].hang(Child::Leaf(at));
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
        let tag = self.kinds.get(self.knots[at].kind as usize)?.clone();
        let children = std::mem::take(&mut self.knots[at].children);
        let mut group = TagGroup::with_children(tag, Vec::with_capacity(children.len()));
        for child in children {
            match child {
                Child::Knot(knot) => group.children.extend(self.group(knot).map(Node::Group)),
                Child::Leaf(leaf) => group.children.extend(self.leaves[leaf].map(Node::Leaf)),
            }
        }
        (!group.children.is_empty()).then_some(group)
    }
}
