//! Filesystem: does the reader see exactly what the kernel sees, and survive what no kernel should see?
//!
//! Images are made by each system's own tools in folders that vanish. The reference is the kernel's
//! view of the same image, mounted read-only; where this kernel cannot mount one, the tree that the
//! image was made from. Mounting needs root: elsewhere such a test says so and passes, except under
//! `CI=true`, where a skipped test is a failed one.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make images, mount them and read files")]
#![expect(clippy::print_stderr, reason = "a test that cannot be run says so")]

mod ext;
mod fat;
mod hostile;
mod iso;
mod squashfs;
mod tree;
mod view;
mod xfs;
