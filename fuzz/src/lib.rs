//! What the fuzz targets have in common: a fuzzer's bytes as decisions.

/// The bytes of one run, eaten from the front. Where nothing is left everything is zero, so that every
/// prefix of an input is an input, too.
pub struct Food<'a>(&'a [u8]);

impl<'a> Food<'a> {
    /// All of it.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether it is eaten up.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// So many bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let some = self.take(N);
        taken[..some.len()].copy_from_slice(some);
        taken
    }

    /// Two bytes as a number.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// As many bytes as the next one says.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.byte();
        self.take(length.into())
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of these.
    pub fn one_of<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        let choice = usize::from(self.byte());
        all.get(choice.checked_rem(all.len())?)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
