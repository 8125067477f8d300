//! Which directives and advisories are authentic and current?
//!
//! For now packs come from folders that the operator names: what is in them is as trustworthy as
//! whoever put them there, and their digest is recorded in the case. Signed feeds will stand beside
//! [`folder`].

pub mod folder;
