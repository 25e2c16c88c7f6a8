//! Rows laid out so that eight groups stand side by side.
//!
//! Groups are sorted by size. A *narrow* tile holds eight groups of about one size, one to a lane: slot j
//! has the j-th row of each. A large group has a *wide* tile for itself, its rows dealt to the lanes in turn.
//! Places without a row repeat a row of their lane with weight zero. Loops over slots then need neither
//! sums across lanes nor remainders, however small the groups are. Where groups are series, slots stand for times.

use std::ops::Range;

use super::lanes::LANES;

/// Rows from which a group has a tile for itself.
const WIDE_ROWS: usize = 64;
/// Places of a chunk, the unit of work of a thread.
const CHUNK_PLACES: usize = 2048;

#[derive(Clone, Debug)]
pub struct Tile {
    /// Place of the first row among all places.
    pub first: usize,
    pub slots: usize,
    /// First group and number of groups.
    pub group: usize,
    pub groups: usize,
    /// Rows, which is less than the number of places where there are repeats.
    pub rows: usize,
    /// Whether one group has all lanes.
    pub wide: bool,
}

impl Tile {
    pub fn places(&self) -> Range<usize> {
        self.first..self.first + self.slots * LANES
    }

    pub fn has_repeats(&self) -> bool {
        self.rows < self.slots * LANES
    }
}

/// Where every row stands.
#[derive(Clone, Default)]
pub struct Layout {
    pub tiles: Vec<Tile>,
    /// The row at each place, as numbered by the caller, and whether the place repeats another's row.
    pub row: Vec<u32>,
    pub repeats: Vec<bool>,
    /// The level and the number of rows of each group.
    pub level: Vec<u32>,
    pub size: Vec<u32>,
    /// The time of every slot, where groups are series.
    pub times: Vec<u32>,
}

impl Layout {
    /// Groups of rows with equal codes below `levels`; levels without rows have no group.
    pub fn by_code(codes: &[u32], levels: usize) -> Layout {
        let (start, sorted) = sorted_by_code(codes, levels);
        let size = |l: u32| start[l as usize + 1] - start[l as usize];
        let mut order: Vec<u32> = (0..levels as u32).filter(|&l| size(l) > 0).collect();
        order.sort_by_key(|&l| std::cmp::Reverse(size(l)));
        Layout::of_groups(&order, |l| &sorted[start[l as usize] as usize..start[l as usize + 1] as usize])
    }

    /// The same with every row in a slot of its time, eight series of about the same times side by side.
    pub fn by_time(codes: &[u32], levels: usize, time: &[u32]) -> Layout {
        let (start, mut sorted) = sorted_by_code(codes, levels);
        start.windows(2).for_each(|ends| sorted[ends[0] as usize..ends[1] as usize].sort_by_key(|&i| time[i as usize]));
        let rows = |l: u32| &sorted[start[l as usize] as usize..start[l as usize + 1] as usize];
        let times = |l: u32| rows(l).iter().map(|&i| time[i as usize]);
        let mut order: Vec<u32> = (0..levels as u32).filter(|&l| !rows(l).is_empty()).collect();
        order.sort_by(|&k, &l| rows(l).len().cmp(&rows(k).len()).then_with(|| times(k).cmp(times(l))));
        let mut layout = Layout::default();
        for levels in order.chunks(LANES) {
            let members: Vec<&[u32]> = levels.iter().map(|&l| rows(l)).collect();
            layout.add_series(&members, time);
            layout.level.extend(levels);
            layout.size.extend(members.iter().map(|m| m.len() as u32));
        }
        layout
    }

    /// Groups that mean nothing: runs of successive rows, for models without random effects.
    pub fn of_runs(rows: usize) -> Layout {
        let all: Vec<u32> = (0..rows as u32).collect();
        let runs: Vec<&[u32]> = all.chunks(CHUNK_PLACES).collect();
        let order: Vec<u32> = (0..runs.len() as u32).collect();
        Layout::of_groups(&order, |l| runs[l as usize])
    }

    /// `order` lists the levels, larger groups first.
    fn of_groups<'a>(order: &[u32], rows: impl Fn(u32) -> &'a [u32]) -> Layout {
        let mut layout = Layout::default();
        let mut at = 0;
        while at < order.len() {
            let wide = rows(order[at]).len() >= WIDE_ROWS;
            let end = if wide { at + 1 } else { order.len().min(at + LANES) };
            let members: Vec<&[u32]> = order[at..end].iter().map(|&l| rows(l)).collect();
            layout.add_tile(&members, wide || members.len() == 1);
            layout.level.extend(&order[at..end]);
            layout.size.extend(members.iter().map(|m| m.len() as u32));
            at = end;
        }
        layout
    }

    fn add_tile(&mut self, members: &[&[u32]], wide: bool) {
        let longest = members[0].len();
        let slots = if wide { longest.div_ceil(LANES) } else { longest };
        self.tiles.push(Tile {
            first: self.row.len(),
            slots,
            group: self.level.len(),
            groups: members.len(),
            rows: members.iter().map(|m| m.len()).sum(),
            wide,
        });
        for slot in 0..slots {
            for lane in 0..LANES {
                let (member, at) = if wide { (0, slot * LANES + lane) } else { (lane, slot) };
                let rows = members.get(member).unwrap_or(&members[0]);
                self.repeats.push(member >= members.len() || at >= rows.len());
                self.row.push(rows[at.min(rows.len() - 1)]);
            }
        }
    }

    fn add_series(&mut self, members: &[&[u32]], time: &[u32]) {
        let (first, slots) = (self.row.len(), self.times.len());
        let mut next = [0; LANES];
        let time_of = |rows: &&[u32], next: usize| rows.get(next).map(|&i| time[i as usize]);
        while let Some(now) = members.iter().zip(next).filter_map(|(rows, next)| time_of(rows, next)).min() {
            self.times.push(now);
            for lane in 0..LANES {
                let own = members.get(lane).filter(|rows| time_of(rows, next[lane]) == Some(now));
                self.repeats.push(own.is_none());
                self.row.push(own.map_or(members.get(lane).unwrap_or(&members[0])[0], |rows| rows[next[lane]]));
                next[lane] += usize::from(own.is_some());
            }
        }
        self.tiles.push(Tile {
            first,
            slots: self.times.len() - slots,
            group: self.level.len(),
            groups: members.len(),
            rows: members.iter().map(|m| m.len()).sum(),
            wide: false,
        });
    }

    pub fn groups(&self) -> usize {
        self.level.len()
    }

    /// The rows at some places, as numbered by the caller.
    pub fn rows_at(&self, places: &[usize]) -> Vec<u32> {
        places.iter().map(|&i| self.row[i]).collect()
    }

    /// Other numbers of the rows.
    pub fn rename(&mut self, rows: &[u32]) {
        self.row.iter_mut().for_each(|row| *row = rows[*row as usize]);
    }

    /// Places of the rows of the given groups, group by group, with the position of the group in the list.
    pub fn places_of(&self, groups: &[usize]) -> (Vec<usize>, Vec<u32>) {
        let (mut places, mut codes) = (Vec::new(), Vec::new());
        for (code, &g) in groups.iter().enumerate() {
            let t = self.tiles.partition_point(|t| t.group <= g) - 1;
            let tile = &self.tiles[t];
            let (first, step) = if tile.wide { (0, 1) } else { (g - tile.group, LANES) };
            let own = tile.places().skip(first).step_by(step).filter(|&place| !self.repeats[place]);
            places.extend(own);
            codes.resize(places.len(), code as u32);
        }
        (places, codes)
    }
}

/// Successive tiles of about `CHUNK_PLACES` places.
pub fn chunks(tiles: &[Tile]) -> Vec<Range<usize>> {
    let (mut chunks, mut first, mut places) = (Vec::new(), 0, 0);
    for (t, tile) in tiles.iter().enumerate() {
        places += tile.places().len();
        if places >= CHUNK_PLACES || t + 1 == tiles.len() {
            chunks.push(first..t + 1);
            (first, places) = (t + 1, 0);
        }
    }
    chunks
}

/// Where the rows of each level start in a list of rows sorted by level, and that list.
fn sorted_by_code(codes: &[u32], levels: usize) -> (Vec<u32>, Vec<u32>) {
    let mut start = vec![0u32; levels + 1];
    codes.iter().for_each(|&c| start[c as usize + 1] += 1);
    (0..levels).for_each(|l| start[l + 1] += start[l]);
    let (mut next, mut sorted) = (start.clone(), vec![0u32; codes.len()]);
    for (i, &c) in (0u32..).zip(codes) {
        let next = &mut next[c as usize];
        sorted[*next as usize] = i;
        *next += 1;
    }
    (start, sorted)
}
