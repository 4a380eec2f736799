"""Which rule holds for which operation of torch."""

from __future__ import annotations

from collections.abc import Callable

from .trace_complex import complex_elements, complex_moved
from .trace_elements import chosen, copied, dropped, forgotten, glu, left, masked, pointwise, prelu, same
from .trace_moves import moved, padded, resized, sampled, shaped, side_by_side, windowed
from .trace_pools import windows
from .trace_products import PRODUCTS
from .trace_scatter import folded, heaped, scattered
from .trace_sums import batch_norm, gathered, group_norm, layer_norm, over_axis, running_sum, summed

__all__ = ["RULES"]

_ROWS: tuple[tuple[Callable[..., None], str], ...] = (
    (
        pointwise,
        """
        add add_ sub sub_ mul mul_ div div_ gelu silu relu relu_ leaky_relu hardtanh hardswish hardsigmoid
        relu6 celu selu elu mish rrelu softplus logit clamp clip _to_copy clone addcmul addcdiv lerp
        hardtanh_ relu6_ hardswish_ hardsigmoid_ silu_ leaky_relu_ elu_ selu_ mish_ log_sigmoid softshrink
        square rsqrt pow float_power nan_to_num square_ rsub threshold threshold_ complex polar angle angle_ round sign
        floor ceil round_ sign_ floor_ ceil_ conj_physical abs special_entr
        """,
    ),
    (
        moved,
        """
        alias detach view_as _unsafe_view reshape flatten unflatten view expand expand_as reshape_as ravel
        _reshape_alias lift_fresh lift unsqueeze squeeze dropout_view
        """,
    ),
    (shaped, "reshape flatten view _unsafe_view _reshape_alias ravel"),
    (
        moved,
        """
        repeat tile repeat_interleave index_select gather index take_along_dim roll flip fliplr flipud rot90
        pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle tril triu diagonal_copy
        select_copy slice_copy movedim moveaxis swapaxes swapdims transpose permute t T chunk split
        split_with_sizes unbind tensor_split narrow select slice masked_select unfold_copy atleast_1d
        atleast_2d atleast_3d hsplit vsplit unsafe_split unsafe_chunk view_as_complex view_as_real diag
        diag_embed rename squeeze_copy take
        _pack_padded_sequence
        """,
    ),
    (
        padded,
        """
        constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
        replication_pad2d replication_pad3d
        """,
    ),
    (side_by_side, "cat concat concatenate stack hstack vstack dstack column_stack block_diag"),
    (same, "to contiguous type_as lift_fresh lift"),
    (chosen, "where"),
    (masked, "masked_fill masked_fill_"),
    (copied, "copy_"),
    (
        forgotten,
        """
        fill_ zero_ zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones
        new_full new_empty bernoulli normal_ uniform_ bernoulli_ new_empty_strided argmax argmin
        _shape_as_tensor one_hot
        """,
    ),
    (dropped, "dropout dropout_ native_dropout feature_dropout alpha_dropout feature_alpha_dropout"),
    (summed(True, "pool:mean"), "mean"),
    (summed(False, "sum"), "sum"),
    (
        gathered("reduce"),
        """
        amax amin max min logsumexp norm linalg_vector_norm var std prod var_mean std_mean median nansum
        aminmax kthvalue
        """,
    ),
    (
        over_axis("softmax"),
        """
        softmax _softmax log_softmax _log_softmax softmin sort topk cummax cumprod _safe_softmax logcumsumexp
        """,
    ),
    (running_sum, "cumsum"),
    (layer_norm("layer_norm"), "layer_norm native_layer_norm"),
    (layer_norm("rms_norm"), "rms_norm _fused_rms_norm"),
    (
        batch_norm,
        """
        batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
        cudnn_batch_norm instance_norm _batch_norm_impl_index
        """,
    ),
    (group_norm, "group_norm native_group_norm"),
    (
        resized,
        """
        upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_linear1d
        upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact2d _upsample_bilinear2d_aa
        _upsample_nearest_exact1d
        """,
    ),
    (glu, "glu"),
    (prelu, "prelu"),
    (
        scattered,
        """
        index_copy index_copy_ scatter scatter_ index_put index_put_ slice_scatter select_scatter masked_scatter
        masked_scatter_ diagonal_scatter index_fill index_fill_ put put_
        """,
    ),
    (heaped, "index_add index_add_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ index_reduce index_reduce_"),
    (windowed, "im2col"),
    (folded, "col2im"),
    (sampled, "grid_sampler grid_sampler_2d grid_sampler_3d"),
    (left, "item _local_scalar_dense"),
    (
        windows("pool:max"),
        """
        max_pool1d max_pool1d_with_indices adaptive_max_pool1d max_pool2d max_pool2d_with_indices
        adaptive_max_pool2d max_pool3d max_pool3d_with_indices adaptive_max_pool3d
        """,
    ),
    (
        windows("pool:mean"),
        """
        avg_pool1d adaptive_avg_pool1d _adaptive_avg_pool1d avg_pool2d adaptive_avg_pool2d
        _adaptive_avg_pool2d avg_pool3d adaptive_avg_pool3d _adaptive_avg_pool3d
        """,
    ),
)
RULES: dict[str, Callable[..., None]] = {name: rule for rule, names in _ROWS for name in names.split()} | PRODUCTS
RULES["pointwise"] = pointwise
COMPLEX = {pointwise: complex_elements, moved: complex_moved, shaped: complex_moved, forgotten: forgotten}
"""The rules that hold in their place where numbers are complex."""
"""Name of an operation -> its rule; "pointwise" holds for all that torch marks so."""
