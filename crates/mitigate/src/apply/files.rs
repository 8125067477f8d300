//! Files: how does a file come to stand where the change says, and go back?
//!
//! All that will be written is known before anything is, and all that was written is read back. What goes into
//! quarantine goes another way than a configuration: see [`quarantine`].

use directive::change::FileChange;
use directive::record::{ChangeStep, Stage, hex};
use directive::text::escape;
use sha2::{Digest as _, Sha256};

use super::{Content, Error, Steps, Worker};
use crate::quarantine;

impl Worker<'_> {
    /// Writes or removes a file, and reads it back.
    pub(super) fn put(&self, file: &FileChange, content: Option<&[u8]>) -> Result<(), Error> {
        match (content, &file.quarantine) {
            (content, Some(_)) => quarantine::put(self.hands, file, content)?,
            (Some(content), None) => self.hands.write(&file.path, content)?,
            (None, None) => self.hands.remove(&file.path)?,
        }
        let path = file.path.clone();
        match self.hands.read(&path)? {
            found if found.as_deref() == content => Ok(()),
            Some(_) if file.quarantine.is_some() => Err(Error::Returned { path }),
            _ => Err(Error::Overwritten { path }),
        }
    }

    /// Puts back what is in quarantine, and reads it back.
    pub(super) fn put_again(&self, file: &FileChange, archive: &[u8]) -> Result<(), Error> {
        quarantine::back(self.hands, file, archive)?;
        let found = self.hands.read(&file.path)?.map(|bytes| hex(&Sha256::digest(bytes)));
        if found == file.before { Ok(()) } else { Err(Error::Overwritten { path: file.path.clone() }) }
    }

    /// What stands where the change writes; it must be what was planned.
    pub(super) fn look(&self, files: &[FileChange]) -> Result<Vec<Content>, Error> {
        let mut found = Vec::new();
        for file in files {
            let moved = || Error::Moved { path: file.path.clone() };
            if file.quarantine.is_some() {
                found.push(Some(quarantine::take(self.hands, file)?.ok_or_else(moved)?));
                continue;
            }
            let bytes = self.hands.read(&file.path)?;
            if bytes.as_ref().map(|bytes| hex(&Sha256::digest(bytes))) != file.before {
                return Err(moved());
            }
            found.push(bytes);
        }
        Ok(found)
    }

    /// What will stand where the change writes, all of it before anything is written.
    pub(super) fn contents(&mut self, files: &[FileChange]) -> Result<Vec<Content>, Error> {
        let mut content = |file: &FileChange| match (&file.content, &file.content_sha256) {
            (Some(content), _) => Ok(Some(content.clone().into_bytes())),
            (None, Some(digest)) => self.journal.kept(digest).map(Some).map_err(Error::Journal),
            (None, None) => Ok(None),
        };
        files.iter().map(&mut content).collect()
    }

    /// Puts files back; those that went into quarantine with everything that the file system said of them.
    pub(super) fn put_files_back<'f>(
        &mut self,
        steps: &Steps<'_>,
        files: impl Iterator<Item = (&'f FileChange, &'f Content)>,
    ) -> Result<(), Error> {
        for (file, before) in files {
            let _ = self.record(steps.step(Stage::Begins, &format!("put back {}", file.path), "undo".into()));
            match (before, &file.quarantine) {
                (Some(archive), Some(_)) => self.put_again(file, archive)?,
                // What could not be written in the first place need not be written back.
                _ if self.hands.read(&file.path)? == *before => {}
                _ => self.put(file, before.as_deref())?,
            }
        }
        Ok(())
    }

    /// Copies into the case what is about to be replaced.
    pub(super) fn keep(&mut self, steps: &Steps<'_>) -> Result<(), Error> {
        for keep in &steps.change.keeps {
            let words: Vec<&str> = keep.command.iter().map(String::as_str).collect();
            let what = format!("copy {}", escape(&keep.what));
            self.record(steps.step(Stage::Begins, &what, "evidence comes first".into()))?;
            let bytes = self.hands.must(&words)?;
            let why = format!("{} bytes are in the case", bytes.len());
            let kept = Some(self.journal.keep(&bytes).map_err(Error::Journal)?);
            self.record(ChangeStep { kept, ..steps.step(Stage::Ended, &what, why) })?;
        }
        Ok(())
    }

    /// Records what a person says that he did. Nobody saw it: only a proof counts.
    pub(super) fn by_hand(&mut self, steps: &Steps<'_>) -> Result<(), Error> {
        for step in &steps.change.hands {
            let why = format!("by the word of {}", steps.who);
            self.record(steps.step(Stage::Ended, &format!("by hand: {}", step.text), why))?;
        }
        Ok(())
    }
}
