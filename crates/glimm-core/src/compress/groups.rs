//! Groups with equal cells merge to one group that counts as often as there are of them.

use super::content::{Content, Table, mix};
use super::rows::Cells;

/// Groups that stand for all.
pub struct Groups {
    /// Each level's group; levels without rows share the last number.
    pub of_level: Vec<u32>,
    /// A level with the cells of each group, and how many there are.
    pub level: Vec<u32>,
    pub copies: Vec<f64>,
    /// Whether some level has no rows.
    pub absent: bool,
}

impl Groups {
    /// Groups in the order of their first levels. Constants are summed over the copies.
    pub fn new(content: &Content<'_>, cells: &mut Cells) -> Groups {
        let levels = cells.ends.len();
        let (mut level, mut copies, mut hashes): (Vec<u32>, Vec<f64>, Vec<u64>) = Default::default();
        let (mut of_level, mut table) = (vec![u32::MAX; levels], Table::new());
        table.clear(levels);
        for l in 0..levels {
            if cells.run(l).is_empty() {
                continue;
            }
            let hash = cells.run(l).fold(0, |h, k| mix(h, cells.hash_all(k)));
            let new = level.len();
            let same = |g: usize| hashes[g] == hash && equal(content, cells, level[g] as usize, l);
            let found = table.find(hash, new, same);
            of_level[l] = found as u32;
            if found == new {
                level.push(l as u32);
                copies.push(1.0);
                hashes.push(hash);
            } else {
                copies[found] += 1.0;
                let first = cells.run(level[found] as usize).start;
                for (j, k) in cells.run(l).enumerate() {
                    cells.constants[first + j] += cells.constants[k];
                }
            }
        }
        let groups = level.len() as u32;
        let absent = of_level.contains(&u32::MAX);
        of_level.iter_mut().filter(|g| **g == u32::MAX).for_each(|g| *g = groups);
        Groups { of_level, level, copies, absent }
    }
}

/// Whether two levels have equal cells.
fn equal(content: &Content<'_>, cells: &Cells, a: usize, b: usize) -> bool {
    let (a, b) = (cells.run(a), cells.run(b));
    a.len() == b.len()
        && a.zip(b)
            .all(|(i, j)| cells.same_numbers(i, j) && content.equal(cells.row[i] as usize, cells.row[j] as usize))
}
