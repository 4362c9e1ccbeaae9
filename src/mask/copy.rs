//! COPY.
use super::plan::Hits;
/// A masker.
#[derive(Debug)]
pub struct CopyMasker {}
impl CopyMasker {
    /// Feed.
    pub fn feed(&mut self, d: &[u8], out: &mut Vec<u8>, _: &mut Hits) -> Result<(), ()> {
        out.extend_from_slice(d);
        Ok(())
    }
    /// Finish.
    pub fn finish(&mut self, _: &mut Vec<u8>, _: &mut Hits) -> Result<(), ()> {
        Ok(())
    }
}
