//! Reading: from the reader child's events to pages in the store.

use std::collections::BTreeSet;
use std::sync::Once;

use cloister_index::{BlobRef, Job, PageBlock, PageInput, PageOutcome, PageWord, ReadingStart, Stage};
use cloister_ingest::{Block, BlockKind, FaultCode, Page, ReadEvent, ReaderCommand, WordBox};

use crate::jobs::JobState;
use crate::{Appliance, Error, Result};

/// What a reading gave beside the pages.
#[derive(Default)]
pub(crate) struct Reading {
    /// Names and bytes of attached files.
    pub(crate) attachments: Vec<(String, BlobRef)>,
    /// Pages that are not in the text, or not wholly.
    pub(crate) gaps: u32,
    /// Why the reader broke off after the last page, if it did; no page is missing for it.
    pub(crate) fault: Option<String>,
}

/// Said once: each file is read by a child of the same kernel, so that all would say the same.
static FENCES_TOLD: Once = Once::new();

/// One reading under way.
struct Run<'a> {
    appliance: &'a Appliance,
    job: &'a Job,
    /// Pages in the ledger, of this run and of one that was cut off.
    seen: BTreeSet<u32>,
    total: Option<u32>,
    fault: Option<(FaultCode, String)>,
    reading: Reading,
}

impl Appliance {
    /// Reads a job's file; every page ends in the ledger.
    pub(super) fn read(&self, job: &Job, stopped: &dyn Fn() -> bool) -> Result<Reading> {
        let file = self.store.blobs().open_file(&job.sha256)?;
        self.store.set_stage(&job.id, Stage::Reading)?;
        let saved = self.store.saved_pages(&job.id)?;
        let seen = saved.iter().map(|page| page.number).collect();
        let gaps = saved.iter().filter(|page| page.outcome.is_gap()).count() as u32;
        let mut run = Run {
            appliance: self,
            job,
            seen,
            total: None,
            fault: None,
            reading: Reading { gaps, ..Reading::default() },
        };
        let reader =
            ReaderCommand { executable: self.config.executable.clone(), limits: self.config.read_limits.clone() };
        let mut trouble: Option<Error> = None;
        let broken = std::cell::Cell::new(false);
        let report = reader.read(&file, &job.name, &|| stopped() || broken.get(), &mut |event| {
            if trouble.is_none()
                && let Err(error) = run.take(event)
            {
                trouble = Some(error);
                broken.set(true);
            }
        });
        if let Some(error) = trouble {
            return Err(error);
        }
        match report {
            Err(cloister_ingest::IngestError::Cancelled) => return Err(Error::Cancelled),
            Err(error) => return Err(Error::Environment { what: "the reader".to_owned(), why: error.to_string() }),
            Ok(report) => tell_fences(&report.warnings),
        }
        run.close()
    }

    /// The pages of a job as the cutter wants them.
    pub(super) fn pages_of(&self, job: &Job) -> Result<Vec<Page>> {
        Ok(self.store.saved_pages(&job.id)?.into_iter().map(page_out).collect())
    }
}

impl Run<'_> {
    fn take(&mut self, event: ReadEvent) -> Result<()> {
        match event {
            ReadEvent::Started { format, pages, title } => {
                self.total = pages;
                self.appliance.store.start_reading(&self.job.id, &ReadingStart { format, title, pages })?;
                self.progress();
            }
            ReadEvent::Page(page) => self.keep(page)?,
            ReadEvent::PageFailed { page, code, message } => self.fail_page(page, code, &message)?,
            ReadEvent::Attachment { name, bytes } => self.attach(name, &bytes)?,
            ReadEvent::Failed { code, message } => self.fault = Some((code, message)),
            ReadEvent::Finished { pages } => self.total = Some(pages),
        }
        Ok(())
    }

    fn keep(&mut self, page: Page) -> Result<()> {
        if self.seen.insert(page.number) {
            let page = page_in(page);
            self.reading.gaps += u32::from(page.outcome.is_gap());
            self.appliance.store.save_page(&self.job.id, &page)?;
        }
        self.progress();
        Ok(())
    }

    fn fail_page(&mut self, page: u32, code: FaultCode, message: &str) -> Result<()> {
        if self.seen.insert(page) {
            self.reading.gaps += 1;
            self.appliance.store.save_page_failure(&self.job.id, page, code.as_str(), message)?;
        }
        self.progress();
        Ok(())
    }

    fn attach(&mut self, name: String, bytes: &[u8]) -> Result<()> {
        let mut blob = self.appliance.store.blobs().begin()?;
        blob.write(bytes)?;
        let taken = |wanted: &str| self.reading.attachments.iter().any(|(name, _)| name == wanted);
        let name = crate::upload::unused_name(&name, &taken);
        self.reading.attachments.push((name, blob.finish()?));
        Ok(())
    }

    fn progress(&self) {
        if self.appliance.hub.progress(&self.job.id, JobState::Reading, self.seen.len() as u32, self.total) {
            self.appliance.tell(&self.job.id);
        }
    }

    /// Enters every page that never came; a file without any page fails as a whole.
    fn close(mut self) -> Result<Reading> {
        let fault = self.fault.take();
        if self.seen.is_empty()
            && let Some((code, message)) = fault
        {
            return Err(Error::Unreadable { code: code.as_str(), message });
        }
        let last = self.seen.last().copied().unwrap_or(0);
        let cut_off = u32::from(fault.is_some() && self.total.is_none());
        let total = self.total.unwrap_or(last + cut_off).max(last);
        let missing: Vec<u32> = (1..=total).filter(|page| !self.seen.contains(page)).collect();
        if missing.is_empty() {
            // Every page that the file has is there, so this is no gap; the journal keeps it.
            self.reading.fault = fault.as_ref().map(|(code, message)| format!("{}: {message}", code.as_str()));
        }
        let (code, message) = fault.unwrap_or((FaultCode::Crashed, "the reader did not deliver this page".to_owned()));
        for page in missing {
            self.fail_page(page, code, &message)?;
        }
        Ok(self.reading)
    }
}

/// Why a file without a single passage counts as failed.
pub(super) fn nothing_to_read(pages: &[Page]) -> Error {
    let images = pages.iter().filter(|page| matches!(page.outcome, cloister_ingest::PageOutcome::NeedsOcr(_))).count();
    let missing = pages.iter().find_map(|page| match &page.outcome {
        cloister_ingest::PageOutcome::Partial(why) => Some(why),
        _ => None,
    });
    let message = if let Some(why) = missing {
        format!("it holds no text that could be read: {why}")
    } else if images > 0 {
        format!(
            "none of its {} pages has a text layer, {images} hold pictures: text recognition is needed",
            pages.len()
        )
    } else {
        "it holds no text".to_owned()
    };
    Error::Unreadable { code: FaultCode::Empty.as_str(), message }
}

/// Says in the log which fences the reader children lack.
fn tell_fences(warnings: &[String]) {
    if !warnings.is_empty() {
        FENCES_TOLD.call_once(|| {
            for warning in warnings {
                tracing::warn!("the reader child lacks a fence: {warning}");
            }
        });
    }
}

fn page_in(page: Page) -> PageInput {
    let (outcome, reason) = match page.outcome {
        cloister_ingest::PageOutcome::Text => (PageOutcome::Text, None),
        cloister_ingest::PageOutcome::Empty => (PageOutcome::Empty, None),
        cloister_ingest::PageOutcome::Partial(why) => (PageOutcome::Partial, Some(format!("{READ_IN_PART}{why}"))),
        cloister_ingest::PageOutcome::NeedsOcr(why) => (PageOutcome::Skipped, Some(format!("{NEEDS_OCR}{why}"))),
    };
    let block = |b: Block| PageBlock {
        kind: b.kind.as_str().to_owned(),
        level: b.level,
        start: b.start,
        end: b.end,
        bounds: b.bounds,
    };
    let word = |w: &WordBox| PageWord { start: w.start, end: w.end, x0: w.x0, y0: w.y0, x1: w.x1, y1: w.y1 };
    PageInput {
        number: page.number,
        place: page.place,
        width: page.width,
        height: page.height,
        text: page.text,
        blocks: page.blocks.into_iter().map(block).collect(),
        words: page.words.iter().map(word).collect(),
        outcome,
        reason,
        problems: page.problems,
    }
}

/// Begins the ledger's reason of a page that holds pictures instead of text.
const NEEDS_OCR: &str = "needs OCR: ";

/// Begins the ledger's reason of a page of which something is missing.
const READ_IN_PART: &str = "read in part: ";

/// A page of the store as the cutter wants it.
pub(crate) fn page_out(page: PageInput) -> Page {
    let reason = page.reason.unwrap_or_default();
    let after = |prefix| reason.strip_prefix(prefix).unwrap_or(&reason).to_owned();
    let outcome = match page.outcome {
        PageOutcome::Skipped if reason.starts_with(NEEDS_OCR) => {
            cloister_ingest::PageOutcome::NeedsOcr(after(NEEDS_OCR))
        }
        PageOutcome::Partial => cloister_ingest::PageOutcome::Partial(after(READ_IN_PART)),
        _ if page.text.trim().is_empty() => cloister_ingest::PageOutcome::Empty,
        _ => cloister_ingest::PageOutcome::Text,
    };
    let block =
        |b: PageBlock| Block { kind: kind(&b.kind), level: b.level, start: b.start, end: b.end, bounds: b.bounds };
    Page {
        number: page.number,
        place: page.place,
        width: page.width,
        height: page.height,
        text: page.text,
        blocks: page.blocks.into_iter().map(block).collect(),
        words: Vec::new(),
        outcome,
        problems: page.problems,
    }
}

fn kind(word: &str) -> BlockKind {
    const KINDS: [BlockKind; 10] = [
        BlockKind::Heading,
        BlockKind::Paragraph,
        BlockKind::ListItem,
        BlockKind::Table,
        BlockKind::TableRow,
        BlockKind::Note,
        BlockKind::Header,
        BlockKind::Footer,
        BlockKind::Code,
        BlockKind::MailHeader,
    ];
    KINDS.into_iter().find(|kind| kind.as_str() == word).unwrap_or(BlockKind::Paragraph)
}
