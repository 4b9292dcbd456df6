//! A list with room for a few, by value: millions of states are copied, compared and hashed, in a build without optimisation.

use std::ops::{Deref, DerefMut};

/// Up to `N` items. What is behind the last one is always the default, so that equal lists are equal in every byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Small<T, const N: usize> {
    items: [T; N],
    len: u8,
}

impl<T: Copy + Default, const N: usize> Default for Small<T, N> {
    fn default() -> Small<T, N> {
        Small { items: [T::default(); N], len: 0 }
    }
}

impl<T: Copy + Default, const N: usize> Small<T, N> {
    pub fn push(&mut self, item: T) {
        self.items[usize::from(self.len)] = item;
        self.len += 1;
    }

    pub fn remove(&mut self, index: usize) -> T {
        let item = self[index];
        self.items.copy_within(index + 1.., index);
        self.len -= 1;
        self.items[usize::from(self.len)] = T::default();
        item
    }

    pub fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        for index in (0..self.len()).rev() {
            if !is_kept(&self[index]) {
                self.remove(index);
            }
        }
    }
}

impl<T, const N: usize> Deref for Small<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }
}

impl<T, const N: usize> DerefMut for Small<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..usize::from(self.len)]
    }
}
