"""Parameters that belong to no neuron: learned tokens and queries, tables of positions, scalars."""

from __future__ import annotations

ROWS = """
.models.idefics.perceiver.IdeficsPerceiverResampler evolla.EvollaSequenceCompressorResampler
  idefics2.Idefics2PerceiverResampler perceiver.PerceiverEmbeddings
  | latents: learned queries
.models.idefics.vision.IdeficsVisionEmbeddings altclip.AltCLIPVisionEmbeddings bridgetower.BridgeTowerVisionEmbeddings
  chinese_clip.ChineseCLIPVisionEmbeddings clip.CLIPVisionEmbeddings clipseg.CLIPSegVisionEmbeddings
  git.GitVisionEmbeddings kosmos2.Kosmos2VisionEmbeddings metaclip_2.MetaClip2VisionEmbeddings
  mlcd.MLCDVisionEmbeddings mllama.MllamaVisionModel owlv2.Owlv2VisionEmbeddings owlvit.OwlViTVisionEmbeddings
  pe_audio.PeAudioEncoderPatchEmbedder pe_audio_video.PeAudioVideoEncoderPatchEmbedder
  pe_video.PeVideoEncoderPatchEmbedder unlimited_ocr.UnlimitedOcrVisionEmbeddings x_clip.XCLIPVisionEmbeddings
  | class_embedding: class token
afmoe.AfmoeSparseMoeBlock | expert_bias: bias that chooses experts
aimv2.Aimv2AttentionPoolingHead cvt.CvtStage flava.FlavaMultimodalModel | cls_token: class token
aimv2.Aimv2Model altclip.AltCLIPModel blip.BlipModel bridgetower.BridgeTowerForContrastiveLearning
  chinese_clip.ChineseCLIPModel clip.CLIPModel clipseg.CLIPSegModel clvp.ClvpModelForConditionalGeneration
  flava.FlavaModel groupvit.GroupViTModel metaclip_2.MetaClip2Model oneformer.OneFormerLoss owlv2.Owlv2Model
  owlvit.OwlViTModel vision_text_dual_encoder.VisionTextDualEncoderModel
  | logit_scale: scale of the logits
albert.AlbertMLMHead bert.BertLMPredictionHead bert_generation.BertGenerationOnlyLMHead
  big_bird.BigBirdLMPredictionHead blip.blip_text.BlipTextLMPredictionHead camembert.CamembertLMHead
  canine.CanineLMPredictionHead data2vec.data2vec_text.Data2VecTextLMHead deberta.LegacyDebertaLMPredictionHead
  deberta_v2.LegacyDebertaV2LMPredictionHead ernie.ErnieLMPredictionHead flava.FlavaMaskedPredictionHead
  fnet.FNetLMPredictionHead ibert.IBertLMHead jina_embeddings_v3.JinaEmbeddingsV3LMHead
  layoutlm.LayoutLMLMPredictionHead longformer.LongformerLMHead luke.LukeLMHead markuplm.MarkupLMLMPredictionHead
  megatron_bert.MegatronBertLMPredictionHead mobilebert.MobileBertLMPredictionHead mpnet.MPNetLMHead
  mra.MraLMPredictionHead nomic_bert.NomicBertLMPredictionHead nystromformer.NystromformerLMPredictionHead
  reformer.ReformerOnlyLMHead roberta.RobertaLMHead roberta_prelayernorm.RobertaPreLayerNormLMHead
  roc_bert.RoCBertLMPredictionHead roformer.RoFormerLMPredictionHead squeezebert.SqueezeBertLMPredictionHead
  tapas.TapasLMPredictionHead visual_bert.VisualBertLMPredictionHead xlm_roberta.XLMRobertaLMHead
  xlm_roberta_xl.XLMRobertaXLLMHead xmod.XmodLMHead yoso.YosoLMPredictionHead
  | bias: the decoder's bias, kept twice
align.AlignModel tipsv2.Tipsv2Model | temperature: scale of the logits
aria.AriaProjector granite_speech.GraniteSpeechEncoderProjector granite_speech_plus.GraniteSpeechPlusEncoderProjector
  inkling2.Inkling2BlockAttentionResidual
  | query: learned queries
audio_spectrogram_transformer.ASTEmbeddings
  | cls_token: class token; distillation_token: distillation token; position_embeddings: position table
beit.BeitEmbeddings data2vec.data2vec_vision.Data2VecVisionEmbeddings dinov2.Dinov2Embeddings
  flava.FlavaImageEmbeddings internvl.InternVLVisionEmbeddings qianfan_ocr.QianfanOCRVisionEmbeddings
  rf_detr.RfDetrDinov2Embeddings vit.ViTEmbeddings
  | cls_token: class token; mask_token: mask token; position_embeddings: position table
beit.BeitRelativePositionBias clap.ClapAudioSelfAttention data2vec.data2vec_vision.Data2VecVisionRelativePositionBias
  donut.donut_swin.DonutSwinSelfAttention maskformer.maskformer_swin.MaskFormerSwinSelfAttention
  swin.SwinRelativePositionBias
  | relative_position_bias_table: relative position bias table
blip.BlipVisionEmbeddings blip_2.Blip2VisionEmbeddings instructblip.InstructBlipVisionEmbeddings
  instructblipvideo.InstructBlipVideoVisionEmbeddings
  | class_embedding: class token; position_embedding: position table
blip_2.Blip2Attention instructblip.InstructBlipAttention instructblipvideo.InstructBlipVideoAttention
  pp_ocrv5_mobile_rec.PPOCRV5MobileRecAttention pp_ocrv5_server_rec.PPOCRV5ServerRecAttention
  pp_ocrv6_small_rec.PPOCRV6SmallRecAttention
  | q_bias, v_bias: copied into qkv.bias when the layer is made
blip_2.Blip2ForConditionalGeneration blip_2.Blip2ForImageTextRetrieval blip_2.Blip2Model
  blip_2.Blip2TextModelWithProjection blip_2.Blip2VisionModelWithProjection
  instructblip.InstructBlipForConditionalGeneration instructblip.InstructBlipModel
  instructblipvideo.InstructBlipVideoForConditionalGeneration instructblipvideo.InstructBlipVideoModel
  vjepa2.VJEPA2AttentivePooler
  | query_tokens: learned queries
bridgetower.BridgeTowerLinkTower | scaled_factor, beta: share of a branch
bros.BrosRelationExtractor | dummy_node: dummy token
clap.ClapModel | logit_scale_a, logit_scale_t: scale of the logits
cpmant.CpmAntSegmentPositionEmbedding | relative_attention_bias: relative position bias table
d_fine.DFineDecoder deimv2.Deimv2Decoder | reg_scale, up: scale of the box offsets
data2vec.data2vec_audio.Data2VecAudioForAudioFrameClassification
  data2vec.data2vec_audio.Data2VecAudioForSequenceClassification data2vec.data2vec_audio.Data2VecAudioForXVector
  esmfold2.EsmFold2LanguageModelEncoder hubert.HubertForSequenceClassification sew.SEWForSequenceClassification
  sew_d.SEWDForSequenceClassification unispeech.UniSpeechForSequenceClassification
  unispeech_sat.UniSpeechSatForAudioFrameClassification unispeech_sat.UniSpeechSatForSequenceClassification
  unispeech_sat.UniSpeechSatForXVector wav2vec2.Wav2Vec2ForAudioFrameClassification
  wav2vec2.Wav2Vec2ForSequenceClassification wav2vec2.Wav2Vec2ForXVector
  wav2vec2_bert.Wav2Vec2BertForAudioFrameClassification wav2vec2_bert.Wav2Vec2BertForSequenceClassification
  wav2vec2_bert.Wav2Vec2BertForXVector wav2vec2_conformer.Wav2Vec2ConformerForAudioFrameClassification
  wav2vec2_conformer.Wav2Vec2ConformerForSequenceClassification wav2vec2_conformer.Wav2Vec2ConformerForXVector
  wavlm.WavLMForAudioFrameClassification wavlm.WavLMForSequenceClassification wavlm.WavLMForXVector
  whisper.WhisperForAudioClassification
  | layer_weights: share of each layer in their mean
data2vec.data2vec_audio.Data2VecAudioModel hubert.HubertModel sew.SEWModel sew_d.SEWDModel
  speecht5.SpeechT5SpeechEncoderPrenet unispeech.UniSpeechModel unispeech_sat.UniSpeechSatModel wav2vec2.Wav2Vec2Model
  wav2vec2_bert.Wav2Vec2BertModel wav2vec2_conformer.Wav2Vec2ConformerModel wavlm.WavLMModel
  | masked_spec_embed: mask token
deepseek_ocr2.DeepseekOcr2Model | view_separator: separator token
deepseek_ocr2.DeepseekOcr2SamVisionAttention got_ocr2.GotOcr2VisionAttention pp_formulanet.PPFormulaNetVisionAttention
  sam.SamVisionAttention sam_hq.SamHQVisionAttention seggpt.SegGptAttention slanext.SLANeXtVisionAttention
  unlimited_ocr.UnlimitedOcrSamVisionAttention vitdet.VitDetAttention
  | rel_pos_h, rel_pos_w: relative position table
deepseek_ocr2.DeepseekOcr2SamVisionEncoder got_ocr2.GotOcr2VisionEncoder pp_formulanet.PPFormulaNetVisionModel
  sam.SamVisionEncoder sam_hq.SamHQVisionEncoder slanext.SLANeXtVisionEncoder
  unlimited_ocr.UnlimitedOcrSamVisionEncoder
  | pos_embed: position table
deepseek_v4.DeepseekV4CSACompressor deepseek_v4.DeepseekV4HCACompressor deepseek_v4.DeepseekV4Indexer
  | position_bias: position table
deepseek_vl_hybrid.DeepseekVLHybridModel | high_res_vision_alpha: share of a branch
deformable_detr.DeformableDetrModel grounding_dino.GroundingDinoModel mask2former.Mask2FormerPixelDecoder
  mm_grounding_dino.MMGroundingDinoModel oneformer.OneFormerPixelDecoder
  | level_embed: level table
deit.DeiTEmbeddings
  | cls_token: class token; position_embeddings: position table; distillation_token: distillation token
diffllama.DiffLlamaAttention
  | lambda_q1, lambda_k1, lambda_q2, lambda_k2: vector that sets the share of the second attention map
dinat.NeighborhoodAttention | rpb: relative position bias table
dinov2_with_registers.Dinov2WithRegistersEmbeddings tipsv2.Tipsv2VisionEmbeddings
  | cls_token: class token; mask_token: mask token; position_embeddings: position table; register_tokens: register
    tokens
dinov3_vit.DINOv3ViTEmbeddings eomt_dinov3.EomtDinov3Embeddings sapiens2.Sapiens2Embeddings
  | cls_token: class token; mask_token: mask token; register_tokens: register tokens
donut.donut_swin.DonutSwinEmbeddings ijepa.IJepaEmbeddings swin.SwinEmbeddings swinv2.Swinv2Embeddings
  | mask_token: mask token; position_embeddings: position table
dpt.DPTViTEmbeddings dpt.DPTViTHybridEmbeddings pixio.PixioEmbeddings pvt.PvtPatchEmbeddings vilt.ViltEmbeddings
  vit_mae.ViTMAEEmbeddings vit_msn.ViTMSNEmbeddings vivit.VivitEmbeddings
  | cls_token: class token; position_embeddings: position table
edgetam.EdgeTamModel sam2.Sam2Model sam3_tracker.Sam3TrackerModel | no_memory_embedding: memory token
edgetam_video.EdgeTamVideoModel sam2_video.Sam2VideoModel sam3_tracker_video.Sam3TrackerVideoModel
  | no_memory_embedding, no_memory_positional_encoding, no_object_pointer, occlusion_spatial_embedding_parameter:
    memory token; memory_temporal_positional_encoding: time table
edgetam_video.EdgeTamVideoPerceiverResampler | latents_1d, latents_2d: learned queries
eomt.EomtEmbeddings | cls_token: class token; register_tokens: register tokens
ernie4_5_moe.Ernie4_5_MoeStatics ernie4_5_vl_moe.Ernie4_5_VLMoeMoeStatics
  | e_score_correction_bias: bias that chooses experts
esm.esmfold.EsmForProteinFolding | esm_s_combine: share of each layer in their mean
evolla.EvollaSequenceAlignerCrossAttention | gate_attention, gate_ffw: gate of a branch
falcon_mamba.FalconMambaWeightlessRMSNorm | weight: not used
focalnet.FocalNetEmbeddings videomae.VideoMAEForPreTraining | mask_token: mask token
gemma4.Gemma4VisionPatchEmbedder | position_embedding_table: position table
gemma4_unified.Gemma4UnifiedVisionEmbedder | pos_embedding: position table
git.GitModel | img_temporal_embedding.*: time table
gradium_phonon_tts.GradiumPhononTTSModel pocket_tts.PocketTTSModel | bos_latent: first token
granite4_vision.Granite4VisionModel llava_next.LlavaNextModel llava_next_video.LlavaNextVideoModel
  llava_onevision.LlavaOnevisionModel
  | image_newline: newline token
granite4_vision.Granite4VisionWindowQFormerDownsampler | query: learned queries; image_positions: position table
groupvit.GroupViTStage | group_token: learned queries
groupvit.GroupViTVisionEmbeddings hiera.HieraEmbeddings kimi_k25.Kimi_K25VisionPositionEmbeddings
  lw_detr.LwDetrViTEmbeddings maskformer.maskformer_swin.MaskFormerSwinEmbeddings
  perceiver.PerceiverTrainablePositionEncoding sam3.Sam3ViTEmbeddings swin2sr.Swin2SREmbeddings
  videoprism.VideoPrismSpatialEmbeddings videoprism.VideoPrismTemporalEmbeddings vitdet.VitDetEmbeddings
  vitpose_backbone.VitPoseBackboneEmbeddings
  | position_embeddings: position table
hiera.HieraDecoder | mask_token: mask token; decoder_position_embeddings: position table
hrm_text.HrmTextModel | z_L_init: first state
hunyuan_vl.HunYuanVLVisionPatchMerger
  | image_newline: newline token; image_begin, image_end, image_sep: separator token
idefics2.Idefics2MultiheadAttentionPoolingHead phi4_multimodal.Phi4MultimodalVisionMultiheadAttentionPoolingHead
  siglip.SiglipMultiheadAttentionPoolingHead siglip2.Siglip2MultiheadAttentionPoolingHead
  | probe: learned queries
inkling.InklingMLP | global_scale: scale of the output
inkling2.Inkling2VisionEmbeddings | class_embedding: class token; cls_position_embedding: position table
kosmos2.Kosmos2ImageToTextProjection kosmos2_5.Kosmos2_5ImageToTextProjection | latent_query: learned queries
layoutlmv2.LayoutLMv2Model | visual_segment_embedding: segment token
layoutlmv3.LayoutLMv3Model mgp_str.MgpstrEmbeddings | cls_token: class token; pos_embed: position table
levit.LevitAttention levit.LevitAttentionSubsample | attention_biases: relative position bias table
llama4.Llama4VisionModel | class_embedding: class token; positional_embedding_vlm: position table
mlcd.MLCDVisionModel | class_pos_emb: position table
mllama.MllamaCrossAttentionDecoderLayer | cross_attn_attn_gate, cross_attn_mlp_gate: gate of a branch
mllama.MllamaPrecomputedAspectRatioEmbedding | gate: gate of a branch
mllama.MllamaPrecomputedPositionEmbedding | gate: gate of a branch; embedding: position table
mllama.MllamaVisionEncoderLayer | gate_attn, gate_ffn: gate of a branch
mm_grounding_dino.MMGroundingDinoContrastiveEmbedding | bias: bias of the logits
molmo2.Molmo2VisionModel oneformer.OneFormerTextEncoder | positional_embedding: position table
moonshine_streaming.MoonshineStreamingAsinhCompression | log_k: scale of the compression
nemotron3_diarization.Nemotron3DiarizationForAudioFrameClassification | silence_embeds: silence token
neomme.NeoMMEEncoderLayer | lambdas: share of a branch
patchtsmixer.PatchTSMixerPositionalEncoding | position_enc: position table
patchtst.PatchTSTPositionalEncoding | cls_token: class token; position_enc: position table
pe_audio.PeAudioModel | text_audio_logit_scale: scale of the logits; text_audio_logit_bias: bias of the logits
pe_audio_video.PeAudioVideoModel
  | audio_video_logit_scale, text_audio_video_logit_scale, audio_plus_text_logit_scale, video_plus_text_logit_scale:
    scale of the logits; audio_video_logit_bias, text_audio_video_logit_bias, audio_plus_text_logit_bias,
    video_plus_text_logit_bias: bias of the logits
pe_video.PeVideoModel | text_video_logit_scale: scale of the logits; text_video_logit_bias: bias of the logits
perceiver.PerceiverMultimodalDecoder | padding.*: padding of a modality
perceiver.PerceiverMultimodalPreprocessor | padding.*: padding of a modality; mask.*: mask token
phi4_multimodal.Phi4MultimodalImageEmbedding | global_img_feature_extensor, sub_img_feature_extensor: newline token
pp_doclayout_v4.PPDocLayoutV4S2RFusion | closure_weight: gate of a branch
radio.RadioPatchEmbeddings | position_embedding: position table; cls_register_token: class token
reformer.AxialPositionEmbeddings | weights.*: position table
rf_detr.RfDetrForInstanceSegmentation | segmentation_bias: bias of the logits
sam.SamPositionalEmbedding sam_hq.SamHQPositionalEmbedding
  | positional_embedding: random matrix that turns points into waves
sam2.Sam2HieraDetModel | pos_embed, pos_embed_window: position table
sam3_lite_text.Sam3LiteTextTextPositionEmbedding x_clip.XCLIPMultiframeIntegrationTransformer
  | position_embedding: position table
seamless_m4t_v2.SeamlessM4Tv2TextToUnitDecoder | pos_emb_alpha_char, pos_emb_alpha: scale of the position table
seggpt.SegGptEmbeddings
  | mask_token: mask token; segment_token_input, segment_token_prompt, type_token_semantic, type_token_instance:
    segment token; position_embeddings: position table
siglip.SiglipModel siglip2.Siglip2Model | logit_scale: scale of the logits; logit_bias: bias of the logits
speecht5.SpeechT5ScaledPositionalEncoding | alpha: scale of the position table
superglue.SuperGlueForKeypointMatching | bin_score: bias of the logits
tapas.TapasForQuestionAnswering
  | output_weights, column_output_weights: weights of a single score; output_bias, column_output_bias: bias of a
    single score
timesformer.TimesformerEmbeddings
  | cls_token: class token; position_embeddings: position table; time_embeddings: time table
tvp.TvpFrameDownPadPrompter | pad_down: learned border of the frame
tvp.TvpFramePadPrompter | pad_up, pad_down, pad_left, pad_right: learned border of the frame
tvp.TvpModel | text_prompt: learned prompt
unlimited_ocr.UnlimitedOcrModel | view_separator: separator token; image_newline: newline token
vibevoice.VibeVoiceModel | latent_scaling_factor: scale of the latents; latent_bias_factor: shift of the latents
videomt.VideomtEmbeddings | cls_token: class token; register_tokens: register tokens; mask_token: mask token
videoprism.VideoPrismTextEmbeddings | cls_emb: class token
vit_mae.ViTMAEDecoder | mask_token: mask token; decoder_pos_embed: position table
vits.VitsAttention | emb_rel_k, emb_rel_v: relative position table
vjepa2.VJEPA2PredictorEmbeddings | mask_tokens: mask token
xlnet.XLNetModel | mask_emb: mask token
yolos.InterpolateMidPositionEmbeddings | mid_position_embeddings: position table
yolos.YolosEmbeddings
  | cls_token: class token; detection_tokens: detection tokens; position_embeddings: position table
"""
