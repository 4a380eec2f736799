"""Parameters that a layer holds bare, beside its parts: scales of channels, biases of heads, mixers of states.

They are described, but not recomputed by themselves: what they scale is computed on the way through the layer.
"""

from __future__ import annotations

ROWS = """
bailing_hybrid.BailingHybridForgetGate glm5_next.Glm5NextTextForgetGate
  | A_log = head; dt_bias = (head neuron); head # num_heads
bamba.BambaMixer falcon_h1.FalconH1Mixer granitemoehybrid.GraniteMoeHybridMambaLayer mamba2.Mamba2Mixer
  nemotron_h.NemotronHMamba2Mixer zamba2.Zamba2MambaMixer
  | A_log = head; D = head; dt_bias = head
beam.BeamAttention | gate_bias = head
beit.BeitLayer data2vec.data2vec_vision.Data2VecVisionLayer inkling2.Inkling2VisionEncoderLayer
  internvl.InternVLVisionLayer qianfan_ocr.QianfanOCRVisionLayer step3p7.Step3p7VisionEncoderLayer
  | lambda_1 = neuron; lambda_2 = neuron
bridgetower.BridgeTowerMLMHead deberta.DebertaLMPredictionHead deberta_v2.DebertaV2LMPredictionHead esm.EsmLMHead
  jetmoe.JetMoeMoA jetmoe.JetMoeMoE luke.EntityPredictionHead lxmert.LxmertLMPredictionHead
  perceiver.PerceiverEmbeddingDecoder
  | bias = neuron
convbert.SeparableConv1D | bias = neuron last
convnext.ConvNextLayer | layer_scale_parameter = neuron
data2vec.data2vec_audio.AMSoftmaxLoss unispeech_sat.AMSoftmaxLoss wav2vec2.AMSoftmaxLoss wav2vec2_bert.AMSoftmaxLoss
  wav2vec2_conformer.AMSoftmaxLoss wavlm.AMSoftmaxLoss
  | weight = in neuron
deberta.DisentangledSelfAttention | q_bias = unit; v_bias = unit
deepseek_v4.DeepseekV4Attention flint.FlintAttention gpt_oss.GptOssAttention granite_swa.GraniteSWAAttention
  granitemoe_swa.GraniteMoeSWAAttention hy_v4.HYV4Attention mimo_v2_flash.MiMoV2FlashAttention
  openai_privacy_filter.OpenAIPrivacyFilterAttention
  | sinks = head
deepseek_v4.DeepseekV4HyperConnection glm5_next.Glm5NextTextHyperConnection hy_v4.HYV4HyperConnection
  | fn = neuron in; base = neuron; scale: scale of each part
deepseek_v4.DeepseekV4HyperHead hy_v4.HYV4HyperHead
  | hc_fn = neuron in; hc_base = neuron; hc_scale: scale of each part
diffusion_gemma.DiffusionGemmaTextRouter gemma4.Gemma4TextRouter
  | scale = neuron; [expert] per_expert_scale = expert
dinat.DinatLayer | layer_scale_parameters = branch{attention mlp} neuron
dinov3_convnext.DINOv3ConvNextLayer qwen3_omni_moe.Qwen3OmniMoeConvNeXtBlock | gamma = neuron
doge.DogeAttention | A = head
doge.DogeDecoderLayer | input_residual = neuron; post_attention_residual = neuron
edgetam_video.EdgeTamVideoMemoryFuserCXBlock sam2_video.Sam2VideoMemoryFuserCXBlock
  sam3_tracker_video.Sam3TrackerVideoMemoryFuserCXBlock
  | scale = neuron
esm.esmfold.EsmFoldInvariantPointAttention | head_weights = head
esmfold2.EsmFold2ConfidenceHead | [plddt] plddt_weight = atom in neuron; [resolved] resolved_weight = atom in neuron
esmfold2.EsmFold2Parcae | log_state_decay = neuron; log_delta = neuron; input_matrix_continuous = neuron in
falcon_mamba.FalconMambaMixer jamba.JambaMambaMixer mamba.MambaMixer | A_log = neuron state; D = neuron
fastspeech2_conformer.FastSpeech2ConformerAttention seamless_m4t.SeamlessM4TConformerSelfAttention
  wav2vec2_bert.Wav2Vec2BertSelfAttention wav2vec2_conformer.Wav2Vec2ConformerSelfAttention
  | pos_bias_u = head neuron; pos_bias_v = head neuron
focalnet.FocalNetLayer lw_detr.LwDetrViTLayer | gamma_1 = neuron; gamma_2 = neuron
funnel.FunnelRelMultiheadAttention
  | r_w_bias = head neuron; r_r_bias = head neuron; r_s_bias = head neuron; r_kernel = in head neuron; seg_embed =
    segment head neuron
gemma3n.Gemma3nAudioAttention gemma4.Gemma4AudioAttention | per_dim_scale = neuron
gemma3n.Gemma3nTextAltUp | correct_output_scale = neuron
glm5_next.Glm5NextTextIndexer | index_kpool_compress_gate = neuron in; index_kpool_compress_ape: position table
gpt_neox_japanese.GPTNeoXJapaneseAttention | dense_bias = unit
grounding_dino.GroundingDinoFusionLayer mm_grounding_dino.MMGroundingDinoFusionLayer
  | vision_param = neuron; text_param = neuron
idefics.IdeficsGatedCrossAttentionLayer | alpha_cross_attn = *first neuron; alpha_dense = *first neuron
inkling2.Inkling2DynamicShortConvolution | static_weight = tap neuron
inkling2.Inkling2ScaledL2Clip | scale = head neuron
kimi_linear.KimiLinearForgetGate | A_log = *first head last; dt_bias = (head neuron); head # num_heads
layoutlmv2.LayoutLMv2SelfAttention | q_bias = *first unit; v_bias = *first unit
mistral_large4.MistralLarge4TextSoftmaxScaling | scale = head; bias = head
muse_spark.MuseSparkResidualGate | gate = neuron
nemotron_asr_streaming.NemotronAsrStreamingEncoderAttention parakeet.ParakeetEncoderAttention
  | bias_u = head neuron; bias_v = head neuron
neomme.NeoMMEExclusiveSelfAttention | alpha = head
olmo_hybrid.OlmoHybridGatedDeltaNet qwen3_5.Qwen3_5GatedDeltaNet qwen3_5_moe.Qwen3_5MoeGatedDeltaNet
  qwen3_next.Qwen3NextGatedDeltaNet qwen4_exp.Qwen4ExpTextGatedDeltaNet
  | A_log = head; dt_bias = head
phi4_multimodal.Phi4MultimodalAudioGluPointWiseConv | b1 = first neuron last; b2 = first neuron last
poolformer.PoolFormerLayer swiftformer.SwiftFormerEncoderBlock
  | layer_scale_1 = neuron *last; layer_scale_2 = neuron *last
recurrent_gemma.RecurrentGemmaRglru
  | recurrent_param = (head neuron); head # num_attention_heads; input_gate_weight = head in neuron; input_gate_bias =
    head neuron; recurrent_gate_weight = head in neuron; recurrent_gate_bias = head neuron
rwkv.RwkvFeedForward | time_mix_key = *first neuron; time_mix_receptance = *first neuron
rwkv.RwkvSelfAttention
  | time_decay = neuron; time_first = neuron; [mix] time_mix_key = *first neuron; [mix] time_mix_value = *first
    neuron; [mix] time_mix_receptance = *first neuron
sam3_lite_text.Sam3LiteTextLayerScaledResidual swiftformer.SwiftFormerConvEncoder
  swiftformer.SwiftFormerLocalRepresentation
  | layer_scale = neuron *last
swiftformer.SwiftFormerEfficientAdditiveAttention | w_g = neuron last
swin2sr.Swin2SRSelfAttention swinv2.Swinv2SelfAttention | logit_scale = head *last
timesfm.TimesFmAttention timesfm2_5.TimesFm2_5Attention | scaling = neuron
unispeech.UniSpeechGumbelVectorQuantizer unispeech_sat.UniSpeechSatGumbelVectorQuantizer
  wav2vec2.Wav2Vec2GumbelVectorQuantizer wav2vec2_conformer.Wav2Vec2ConformerGumbelVectorQuantizer
  wavlm.WavLMGumbelVectorQuantizer
  | codevectors = first (group code) neuron
unispeech_sat.UniSpeechSatForPreTraining | label_embeddings_concat = code neuron
vibevoice_acoustic_tokenizer.VibeVoiceAcousticTokenizerConvNext1dLayer vibevoice_asr.VibeVoiceAsrConvNext1dLayer
  | gamma = neuron; ffn_gamma = neuron
videoprism.VideoPrismMultiheadAttentionPoolingHead
  | per_dim_scale = neuron; pooling_attention_query: learned queries
vits.VitsElementwiseAffine | translate = neuron last; log_scale = neuron last
wavlm.WavLMAttention | gru_rel_pos_const = first head *last
x_clip.XCLIPModel | prompts_visual_projection = in neuron; logit_scale: scale of the logits
x_clip.XCLIPPromptGenerator | alpha = neuron
xlnet.XLNetRelativeAttention
  | q = in head neuron; k = in head neuron; v = in head neuron; r = in head neuron; r_w_bias = head neuron; r_r_bias =
    head neuron; r_s_bias = head neuron; seg_embed = segment head neuron; [o] o = neuron head in
zamba.ZambaMambaMixer
  | dt_proj_weight = head neuron in; dt_proj_bias = head neuron; A_log = head neuron state; D = head neuron; [x_proj]
    x_proj_weight = head neuron in
zaya.ZayaModel | input_hidden_states_scale = neuron; input_hidden_states_bias = neuron
zaya.ZayaQKNorm | temp = head
zaya.ZayaResidualScaling
  | hidden_states_scale = neuron; hidden_states_bias = neuron; residual_scale = neuron; residual_bias = neuron
zaya.ZayaRouter | router_states_scale = neuron
"""
