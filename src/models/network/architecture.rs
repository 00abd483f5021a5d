//! Residual networks of the first kind (activation after the addition) as layers.
//!
//! Names, shapes, strides and the order of layers are those of `keras.applications` (`resnet.py`, version 2.5): weights
//! that Keras saved fit layer by layer. Keras orders layers by their distance from the output, which puts the shortcut
//! of a block between its third activation and its last convolution.

use super::Network;

/// The classes of ImageNet.
pub const CLASSES: usize = 1000;
/// Added to variances by every batch normalisation.
pub const EPSILON: f32 = 1.001e-5;

/// A network as layers in Keras's order; every layer comes after its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// The scope of the node names, for example `resnet50`.
    pub name: &'static str,
    /// The layers; the first takes the picture, the last gives the probabilities.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Keras's name, unique in the network.
    pub name: String,
    /// The positions of its inputs in [`Architecture::layers`]; empty for the picture.
    pub inputs: Vec<usize>,
    /// What it does.
    pub kind: LayerKind,
}

/// What a layer does. Pictures are `[batch, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// The picture.
    Input,
    /// Zeros around the picture.
    Pad {
        /// Pixels on each side.
        amount: usize,
    },
    /// A convolution with bias.
    Conv {
        /// Height and width of the kernel.
        size: usize,
        /// Channels in.
        inputs: usize,
        /// Channels out.
        outputs: usize,
        /// Pixels from one output to the next.
        stride: usize,
        /// Whether the picture is padded so that a stride of 1 keeps its size.
        same: bool,
    },
    /// Batch normalisation with stored statistics.
    Norm {
        /// Channels.
        channels: usize,
        /// Where in a block it stands.
        place: NormPlace,
    },
    /// Negative values become zero.
    Relu,
    /// The largest of 3x3 pixels, every second one.
    MaxPool,
    /// The sum of two inputs.
    Add,
    /// The mean over height and width.
    Mean,
    /// A dense layer with bias and softmax.
    Classifier {
        /// Features in.
        inputs: usize,
    },
}

/// Where in a residual block a batch normalisation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlace {
    /// On the way into an activation or an addition's main input.
    Trunk,
    /// The last of a branch that is added to the trunk.
    BranchEnd,
}

/// What a weight is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightRole {
    /// Of a convolution `[height, width, in, out]`, or of the classifier `[in, out]`.
    Kernel,
    /// Added after the kernel.
    Bias,
    /// The factor of a batch normalisation.
    Gamma,
    /// Its summand.
    Beta,
    /// Its stored mean.
    MovingMean,
    /// Its stored variance.
    MovingVariance,
}

impl WeightRole {
    /// Keras's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Bias => "bias",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::MovingMean => "moving_mean",
            Self::MovingVariance => "moving_variance",
        }
    }
}

/// One weight of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSpec {
    /// The position of its layer.
    pub layer: usize,
    /// What it is for.
    pub role: WeightRole,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The variable's name and its key in the bundle: `conv1_conv/kernel`.
    pub key: String,
}

impl WeightSpec {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Blocks of one picture size.
struct Stage {
    filters: usize,
    blocks: usize,
    stride: usize,
}

impl Architecture {
    /// The layers of a network.
    pub fn of(network: Network) -> Self {
        let resnet = |name, blocks: [usize; 4]| {
            let stages = blocks.iter().zip([(64, 1), (128, 2), (256, 2), (512, 2)]);
            let stages = stages.map(|(&blocks, (filters, stride))| Stage { filters, blocks, stride }).collect();
            residual(name, 64, 2, stages)
        };
        let tiny = |name, blocks: [usize; 3]| {
            let stages = blocks.iter().zip([(8, 1), (16, 2), (24, 2)]);
            let stages = stages.map(|(&blocks, (filters, stride))| Stage { filters, blocks, stride }).collect();
            residual(name, 16, 4, stages)
        };
        match network {
            Network::ResNet50 => resnet("resnet50", [3, 4, 6, 3]),
            Network::ResNet101 => resnet("resnet101", [3, 4, 23, 3]),
            Network::TinyA => tiny("tiny_a", [1, 1, 1]),
            Network::TinyB => tiny("tiny_b", [1, 1, 2]),
        }
    }

    /// All weights in the order in which Keras saves them: layer by layer.
    pub fn weights(&self) -> Vec<WeightSpec> {
        let mut weights = Vec::new();
        for (position, layer) in self.layers.iter().enumerate() {
            let mut add = |role: WeightRole, shape: Vec<usize>| {
                let key = format!("{}/{}", layer.name, role.name());
                weights.push(WeightSpec { layer: position, role, shape, key });
            };
            match layer.kind {
                LayerKind::Conv { size, inputs, outputs, .. } => {
                    add(WeightRole::Kernel, vec![size, size, inputs, outputs]);
                    add(WeightRole::Bias, vec![outputs]);
                }
                LayerKind::Norm { channels, .. } => {
                    for role in
                        [WeightRole::Gamma, WeightRole::Beta, WeightRole::MovingMean, WeightRole::MovingVariance]
                    {
                        add(role, vec![channels]);
                    }
                }
                LayerKind::Classifier { inputs } => {
                    add(WeightRole::Kernel, vec![inputs, CLASSES]);
                    add(WeightRole::Bias, vec![CLASSES]);
                }
                _ => {}
            }
        }
        weights
    }

    /// The number of parameters, stored statistics included, as `count_params` of Keras counts them.
    pub fn parameters(&self) -> usize {
        self.weights().iter().map(WeightSpec::elements).sum()
    }
}

/// Collects layers and remembers the last one.
struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    fn add(&mut self, name: impl Into<String>, inputs: &[usize], kind: LayerKind) -> usize {
        self.layers.push(Layer { name: name.into(), inputs: inputs.to_vec(), kind });
        self.layers.len() - 1
    }

    fn norm(&mut self, name: String, input: usize, channels: usize) -> usize {
        let place = if name.ends_with("_3_bn") { NormPlace::BranchEnd } else { NormPlace::Trunk };
        self.add(name, &[input], LayerKind::Norm { channels, place })
    }

    /// One block: 1x1, 3x3 and 1x1 convolutions beside a shortcut, which is itself a convolution in a stage's first.
    fn block(&mut self, name: &str, input: usize, inputs: usize, stage: &Stage, first: bool) -> usize {
        let filters = stage.filters;
        let outputs = 4 * filters;
        let stride = if first { stage.stride } else { 1 };
        let conv = |size, inputs, outputs, stride, same| LayerKind::Conv { size, inputs, outputs, stride, same };
        let mut x = self.add(format!("{name}_1_conv"), &[input], conv(1, inputs, filters, stride, false));
        x = self.norm(format!("{name}_1_bn"), x, filters);
        x = self.add(format!("{name}_1_relu"), &[x], LayerKind::Relu);
        x = self.add(format!("{name}_2_conv"), &[x], conv(3, filters, filters, 1, true));
        x = self.norm(format!("{name}_2_bn"), x, filters);
        x = self.add(format!("{name}_2_relu"), &[x], LayerKind::Relu);
        let mut shortcut = input;
        if first {
            shortcut = self.add(format!("{name}_0_conv"), &[input], conv(1, inputs, outputs, stride, false));
        }
        x = self.add(format!("{name}_3_conv"), &[x], conv(1, filters, outputs, 1, false));
        if first {
            shortcut = self.norm(format!("{name}_0_bn"), shortcut, outputs);
        }
        x = self.norm(format!("{name}_3_bn"), x, outputs);
        x = self.add(format!("{name}_add"), &[shortcut, x], LayerKind::Add);
        self.add(format!("{name}_out"), &[x], LayerKind::Relu)
    }
}

fn residual(name: &'static str, stem: usize, stem_stride: usize, stages: Vec<Stage>) -> Architecture {
    let mut net = Builder { layers: Vec::new() };
    let mut x = net.add("input_1", &[], LayerKind::Input);
    x = net.add("conv1_pad", &[x], LayerKind::Pad { amount: 3 });
    let conv1 = LayerKind::Conv { size: 7, inputs: 3, outputs: stem, stride: stem_stride, same: false };
    x = net.add("conv1_conv", &[x], conv1);
    x = net.norm("conv1_bn".to_owned(), x, stem);
    x = net.add("conv1_relu", &[x], LayerKind::Relu);
    x = net.add("pool1_pad", &[x], LayerKind::Pad { amount: 1 });
    x = net.add("pool1_pool", &[x], LayerKind::MaxPool);
    let mut channels = stem;
    for (number, stage) in stages.iter().enumerate() {
        for block in 1..=stage.blocks {
            let name = format!("conv{}_block{block}", number + 2);
            x = net.block(&name, x, channels, stage, block == 1);
            channels = 4 * stage.filters;
        }
    }
    x = net.add("avg_pool", &[x], LayerKind::Mean);
    net.add("predictions", &[x], LayerKind::Classifier { inputs: channels });
    Architecture { name, layers: net.layers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_variables_are_those_of_keras() {
        for (network, parameters, variables, convolutions) in
            [(Network::ResNet50, 25_636_712, 320, 53), (Network::ResNet101, 44_707_176, 626, 104)]
        {
            let architecture = Architecture::of(network);
            assert_eq!(architecture.parameters(), parameters);
            assert_eq!(architecture.weights().len(), variables);
            let is_conv = |layer: &&Layer| matches!(layer.kind, LayerKind::Conv { .. });
            assert_eq!(architecture.layers.iter().filter(is_conv).count(), convolutions);
        }
    }

    #[test]
    fn tiny_networks_stay_below_a_megabyte_and_differ() {
        let [a, b] = [Network::TinyA, Network::TinyB].map(Architecture::of);
        assert!(a.parameters() < b.parameters() && b.parameters() * 4 < 1_000_000, "{}", b.parameters());
    }

    #[test]
    fn layers_come_in_keras_order_and_after_their_inputs() {
        let resnet = Architecture::of(Network::ResNet50);
        let block: Vec<_> = resnet.layers.iter().map(|layer| layer.name.as_str()).skip(7).take(14).collect();
        assert_eq!(
            block,
            [
                "conv2_block1_1_conv",
                "conv2_block1_1_bn",
                "conv2_block1_1_relu",
                "conv2_block1_2_conv",
                "conv2_block1_2_bn",
                "conv2_block1_2_relu",
                "conv2_block1_0_conv",
                "conv2_block1_3_conv",
                "conv2_block1_0_bn",
                "conv2_block1_3_bn",
                "conv2_block1_add",
                "conv2_block1_out",
                "conv2_block2_1_conv",
                "conv2_block2_1_bn",
            ]
        );
        for (position, layer) in resnet.layers.iter().enumerate() {
            assert!(layer.inputs.iter().all(|&input| input < position), "{}", layer.name);
        }
    }
}
