//! Relationships between chosen animals, and what each has from groups of founders.

use rayon::prelude::*;

use super::{Pedigree, UNKNOWN};

impl Pedigree {
    /// Relationships of `rows` with `columns`, row by row: one pass over the pedigree for each column.
    pub fn relationships(&self, rows: &[u32], columns: &[u32]) -> Vec<f64> {
        let descent = self.descent();
        let of = |&c: &u32| {
            let mut unit = vec![0.0; self.len()];
            unit[c as usize] = 1.0;
            let full = descent.covariance_times(&unit);
            rows.iter().map(|&r| full[r as usize]).collect::<Vec<_>>()
        };
        let found: Vec<Vec<f64>> = columns.par_iter().map(of).collect();
        (0..rows.len()).flat_map(|r| found.iter().map(move |column| column[r])).collect()
    }

    /// The part of each animal that comes from each of `count` groups of founders (animals x groups, row by row);
    /// `groups` says for each unknown parent of which group it is.
    pub fn contributions(&self, groups: &[[u32; 2]], count: usize) -> Vec<f64> {
        let mut found = vec![0.0; self.len() * count];
        for (i, (parents, groups)) in self.parents.iter().zip(groups).enumerate() {
            let (before, own) = found.split_at_mut(i * count);
            for (&p, &g) in parents.iter().zip(groups) {
                if p != UNKNOWN {
                    let parent = &before[p as usize * count..(p as usize + 1) * count];
                    own.iter_mut().zip(parent).for_each(|(x, y)| *x += 0.5 * y);
                } else if g != UNKNOWN {
                    own[g as usize] += 0.5;
                }
            }
        }
        found
    }
}
