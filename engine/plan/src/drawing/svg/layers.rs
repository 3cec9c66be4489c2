//! Boxes in layers, each below those it waits for (Sugiyama, Tagawa, Toda 1981).
//!
//! A step's layer is the length of the longest way to it. An arrow that passes a layer gets a **bend** there, a narrow slot
//! of its own, so it never runs through a box; arrows that leave the same box share their bends. Slots are ordered by where
//! their neighbours stand, and the order with the fewest crossings is kept. Then each slot moves as close to the middle of
//! its neighbours as those beside it allow.
//!
//! Nothing is drawn by lot, and nothing depends on the order of a hash.

use std::collections::BTreeMap;

use super::place::{Point, Size};

/// Between two boxes side by side.
const GAP: i64 = 28;
/// Between two layers.
const GAP_BELOW: i64 = 44;
/// How much room an arrow takes beside a box.
const BEND: Size = Size { width: 8, height: 0 };
/// How often slots are ordered by their neighbours: more brings nothing for graphs of a size that people read.
const ORDERINGS: usize = 12;
/// How often slots move to the middle of their neighbours. Odd: at last to those above, which leaves chains straight.
const MOVES: usize = 17;
/// How much more it matters that an arrow through several layers is straight.
const STRAIGHT: i64 = 8;

/// Where boxes stand, and which ways arrows take.
pub(super) struct Layered {
    /// The upper left corner of each box.
    pub(super) places: Vec<Point>,
    /// The points of each arrow, an odd number: from a box down to the end of its layer, from there in a curve to the next
    /// layer and straight through it, and so on to the upper edge of a box.
    pub(super) ways: Vec<Vec<Point>>,
    pub(super) size: Size,
}

/// Boxes of these sizes with these arrows, each from a box to one behind it in the list.
pub(super) fn layered(sizes: &[Size], arrows: &[(usize, usize)]) -> Layered {
    let mut slots = Slots::new(sizes, arrows);
    slots.order();
    slots.spread();
    slots.layered(sizes.len())
}

/// A box or a bend.
struct Slot {
    size: Size,
    layer: usize,
    /// The middle, from left.
    middle: i64,
    is_bend: bool,
    above: Vec<usize>,
    below: Vec<usize>,
}

struct Slots {
    /// First the boxes, then the bends.
    all: Vec<Slot>,
    /// Of each arrow its slots, from above.
    chains: Vec<Vec<usize>>,
    /// The slots of each layer, from left.
    layers: Vec<Vec<usize>>,
}

impl Slots {
    fn new(sizes: &[Size], arrows: &[(usize, usize)]) -> Self {
        let slot = |size: &Size, layer: &usize| Slot::new(*size, *layer, false);
        let ranks = ranks(sizes.len(), arrows);
        let mut slots = Self {
            all: sizes.iter().zip(&ranks).map(|(size, layer)| slot(size, layer)).collect(),
            chains: Vec::new(),
            layers: Vec::new(),
        };
        let mut bends = BTreeMap::new();
        for (from, to) in arrows {
            let mut chain = vec![*from];
            for layer in ranks[*from] + 1..ranks[*to] {
                let bend = *bends.entry((*from, layer)).or_insert_with(|| slots.bend(layer));
                slots.link(chain[chain.len() - 1], bend);
                chain.push(bend);
            }
            slots.link(chain[chain.len() - 1], *to);
            chain.push(*to);
            slots.chains.push(chain);
        }
        let count = ranks.iter().max().map_or(0, |last| last + 1);
        slots.layers = vec![Vec::new(); count];
        for (at, slot) in slots.all.iter().enumerate() {
            slots.layers[slot.layer].push(at);
        }
        slots
    }

    fn bend(&mut self, layer: usize) -> usize {
        self.all.push(Slot::new(BEND, layer, true));
        self.all.len() - 1
    }

    fn link(&mut self, upper: usize, lower: usize) {
        if !self.all[upper].below.contains(&lower) {
            self.all[upper].below.push(lower);
            self.all[lower].above.push(upper);
        }
    }

    /// Finds an order with few crossings.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for round in 0..ORDERINGS {
            let count = self.layers.len();
            for step in 1..count {
                let layer = if round % 2 == 0 { step } else { count - 1 - step };
                self.order_layer(layer, round % 2 == 0);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    /// Orders a layer by the mean position of the neighbours above or below; what has none keeps its place.
    fn order_layer(&mut self, layer: usize, by_above: bool) {
        let positions = self.positions();
        let key = |at: &usize| {
            let slot = &self.all[*at];
            let beside = if by_above { &slot.above } else { &slot.below };
            mean(beside.iter().map(|other| (positions[*other] * 1024, 1))).unwrap_or(positions[*at] * 1024)
        };
        let mut ordered = self.layers[layer].clone();
        ordered.sort_by_key(key);
        self.layers[layer] = ordered;
    }

    /// Of each slot its number in its layer.
    fn positions(&self) -> Vec<i64> {
        let mut positions = vec![0; self.all.len()];
        for layer in &self.layers {
            for (position, at) in (0..).zip(layer) {
                positions[*at] = position;
            }
        }
        positions
    }

    fn crossings(&self) -> usize {
        let positions = self.positions();
        let below = |layer: &Vec<usize>| {
            let mut ends = Vec::new();
            for at in layer {
                let mut own: Vec<_> = self.all[*at].below.iter().map(|lower| positions[*lower]).collect();
                own.sort_unstable();
                ends.extend(own);
            }
            inversions(&mut ends)
        };
        self.layers.iter().map(below).sum()
    }

    /// Moves slots towards the middle of their neighbours, in the order that they have.
    fn spread(&mut self) {
        for layer in 0..self.layers.len() {
            self.settle(layer, |_| Vec::new());
        }
        for round in 0..MOVES {
            let count = self.layers.len();
            for step in 0..count {
                let layer = if round % 2 == 0 { step } else { count - 1 - step };
                self.settle(
                    layer,
                    |slot| if round % 2 == 0 { slot.above.clone() } else { slot.below.clone() },
                );
            }
        }
        let left = self.all.iter().map(|slot| slot.middle - slot.size.width / 2).min().unwrap_or_default();
        self.all.iter_mut().for_each(|slot| slot.middle -= left);
    }

    /// Brings the slots of a layer as close to the means of these neighbours as they fit side by side. Least squares under
    /// an order have one solution: neighbours that would overlap become a block, which stands at its own mean.
    fn settle(&mut self, layer: usize, neighbours: impl Fn(&Slot) -> Vec<usize>) {
        let mut blocks: Vec<Block> = Vec::new();
        let mut offset = 0;
        let mut offsets = Vec::new();
        let mut before: Option<i64> = None;
        for at in &self.layers[layer] {
            let slot = &self.all[*at];
            let half = slot.size.width / 2;
            offset += before.map_or(0, |other| other + GAP + half);
            before = Some(half);
            offsets.push(offset);
            let wanted = mean(neighbours(slot).iter().map(|other| self.pull(slot, *other)));
            let weight = if slot.is_bend { STRAIGHT } else { 1 };
            // A slot that nothing pulls is where it was, but gives way to others.
            let wanted = wanted.map_or((slot.middle, 1), |wanted| (wanted, weight * 16));
            Block::add(&mut blocks, wanted.0 - offset, wanted.1);
        }
        let places = blocks.iter().flat_map(|block| std::iter::repeat_n(block.place(), block.slots));
        let middles: Vec<_> = places.zip(offsets).map(|(place, offset)| place + offset).collect();
        for (at, middle) in self.layers[layer].clone().into_iter().zip(middles) {
            self.all[at].middle = middle;
        }
    }

    /// Where a neighbour pulls a slot to, and how hard.
    fn pull(&self, slot: &Slot, other: usize) -> (i64, i64) {
        let other = &self.all[other];
        (other.middle, if slot.is_bend && other.is_bend { STRAIGHT } else { 1 })
    }

    fn layered(&self, boxes: usize) -> Layered {
        let height = |layer: &Vec<usize>| layer.iter().map(|at| self.all[*at].size.height).max().unwrap_or(0);
        let heights: Vec<_> = self.layers.iter().map(height).collect();
        let mut top = 0;
        let mut tops = Vec::new();
        for height in &heights {
            tops.push(top);
            top += height + GAP_BELOW;
        }
        let right = self.all.iter().map(|slot| slot.middle + slot.size.width / 2).max().unwrap_or_default();
        let place = |slot: &Slot| Point { x: slot.middle - slot.size.width / 2, y: tops[slot.layer] };
        let way = |chain: &Vec<usize>| {
            let mut way = Vec::new();
            for (number, at) in chain.iter().enumerate() {
                let slot = &self.all[*at];
                let top = Point { x: slot.middle, y: tops[slot.layer] };
                let end = Point { y: top.y + heights[slot.layer], ..top };
                match (number == 0, number + 1 == chain.len()) {
                    (true, _) => way.extend([Point { y: top.y + slot.size.height, ..top }, end]),
                    (false, false) => way.extend([top, end]),
                    (false, true) => way.push(top),
                }
            }
            way
        };
        Layered {
            places: self.all[..boxes].iter().map(place).collect(),
            ways: self.chains.iter().map(way).collect(),
            size: Size { width: right, height: (top - GAP_BELOW).max(0) },
        }
    }
}

impl Slot {
    fn new(size: Size, layer: usize, is_bend: bool) -> Self {
        Self { size, layer, middle: 0, is_bend, above: Vec::new(), below: Vec::new() }
    }
}

/// Slots that stand side by side without more room than there has to be.
struct Block {
    sum: i64,
    weight: i64,
    slots: usize,
}

impl Block {
    fn place(&self) -> i64 {
        self.sum.div_euclid(self.weight)
    }

    /// Adds a slot at the right, and joins blocks until none stands left of the one before it.
    fn add(blocks: &mut Vec<Self>, wanted: i64, weight: i64) {
        let mut last = Self { sum: wanted * weight, weight, slots: 1 };
        while blocks.last().is_some_and(|block| block.place() >= last.place()) {
            let Some(before) = blocks.pop() else { break };
            last.sum += before.sum;
            last.weight += before.weight;
            last.slots += before.slots;
        }
        blocks.push(last);
    }
}

/// Of each box the length of the longest way to it.
fn ranks(boxes: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut before = vec![Vec::new(); boxes];
    arrows.iter().for_each(|(from, to)| before[*to].push(*from));
    let mut ranks: Vec<usize> = Vec::with_capacity(boxes);
    for needs in before {
        ranks.push(needs.iter().map(|need| ranks[*need] + 1).max().unwrap_or(0));
    }
    ranks
}

/// The mean of values with their weights.
fn mean(values: impl Iterator<Item = (i64, i64)>) -> Option<i64> {
    let (sum, weight) =
        values.fold((0, 0), |(sum, all), (value, weight)| (sum + value * weight, all + weight));
    (weight > 0).then(|| sum.div_euclid(weight))
}

/// How many pairs stand in the wrong order. Sorts them.
fn inversions(values: &mut Vec<i64>) -> usize {
    if values.len() < 2 {
        return 0;
    }
    let mut right = values.split_off(values.len() / 2);
    let mut found = inversions(values) + inversions(&mut right);
    let left = std::mem::take(values);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(l), Some(r)) if r < l => {
                found += left.len();
                values.extend(right.next());
            }
            (Some(_), _) => values.extend(left.next()),
            (None, Some(_)) => values.extend(right.next()),
            (None, None) => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Size = Size { width: 100, height: 40 };

    /// A diamond stands as one draws it: the first in the middle above, two side by side, the last below.
    #[test]
    fn a_diamond_is_symmetric() {
        let drawn = layered(&[BOX; 4], &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let x: Vec<_> = drawn.places.iter().map(|place| place.x).collect();
        assert_eq!(x, [64, 0, 128, 64]);
        let y: Vec<_> = drawn.places.iter().map(|place| place.y).collect();
        assert_eq!(y, [0, 84, 84, 168]);
        assert_eq!(drawn.size, Size { width: 228, height: 208 });
    }

    /// Two pairs that are written crosswise are drawn without a crossing.
    #[test]
    fn crossings_are_taken_out() {
        let mut slots = Slots::new(&[BOX; 4], &[(0, 3), (1, 2)]);
        assert_eq!(slots.crossings(), 1);
        slots.order();
        assert_eq!(slots.crossings(), 0);
    }

    /// An arrow past a layer goes around the box that stands there.
    #[test]
    fn a_long_arrow_goes_around() {
        let drawn = layered(&[BOX; 3], &[(0, 1), (1, 2), (0, 2)]);
        let way = &drawn.ways[2];
        assert_eq!(way.len(), 5);
        let (left, right) = (drawn.places[1].x, drawn.places[1].x + BOX.width);
        assert!(way[2].x < left || way[2].x > right, "{way:?} runs through {left}..{right}");
    }

    /// Pairs in the wrong order are counted, equal ones are in order.
    #[test]
    fn inversions_are_counted() {
        assert_eq!(inversions(&mut vec![3, 1, 2, 2, 0]), 7);
        assert_eq!(inversions(&mut vec![1, 1, 2]), 0);
    }
}
