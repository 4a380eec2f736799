"""The attention classes of transformers, by how their projections are named and packed (attention.py)."""

from __future__ import annotations

__all__ = ["BY_PART", "GATED", "LATENT", "PLAIN", "WITHIN_ATTENTION", "WITHIN_SELF"]

PLAIN = """
    afmoe.AfmoeAttention aimv2.Aimv2Attention albert.AlbertAttention align.AlignTextSelfAttention
    altclip.AltCLIPAttention altclip.AltRobertaSelfAttention apertus.ApertusAttention arcee.ArceeAttention
    aria.AriaCrossAttention aria.AriaTextAttention audio_spectrogram_transformer.ASTAttention
    audioflamingo3.AudioFlamingo3Attention autoformer.AutoformerAttention bailing_hybrid.BailingHybridDeltaAttention
    bamba.BambaAttention bart.BartAttention beam.BeamAttention beit.BeitAttention bert.BertCrossAttention
    bert.BertSelfAttention bert_generation.BertGenerationCrossAttention bert_generation.BertGenerationSelfAttention
    big_bird.BigBirdBlockSparseAttention big_bird.BigBirdSelfAttention
    bigbird_pegasus.BigBirdPegasusBlockSparseAttention bigbird_pegasus.BigBirdPegasusDecoderAttention
    bigbird_pegasus.BigBirdPegasusSelfAttention biogpt.BioGptAttention bitnet.BitNetAttention
    blenderbot.BlenderbotAttention blenderbot_small.BlenderbotSmallAttention blip.blip_text.BlipTextSelfAttention
    blip_2.Blip2QFormerMultiHeadAttention blt.BltCrossAttention blt.BltSelfAttention
    bridgetower.BridgeTowerCrossAttention bridgetower.BridgeTowerSelfAttention bros.BrosSelfAttention
    camembert.CamembertCrossAttention camembert.CamembertSelfAttention canary.CanaryCrossAttention
    canary.CanarySelfAttention canine.CanineSelfAttention chameleon.ChameleonAttention
    chinese_clip.ChineseCLIPTextSelfAttention chinese_clip.ChineseCLIPVisionAttention clap.ClapAudioSelfAttention
    clap.ClapTextSelfAttention clip.CLIPAttention clipseg.CLIPSegAttention clvp.ClvpSelfAttention
    cohere.CohereAttention cohere2.Cohere2Attention cohere2_moe.Cohere2MoeAttention
    cohere_asr.CohereAsrCrossAttention cohere_asr.CohereAsrSelfAttention cohere_compass.CohereCompassAttention
    conditional_detr.ConditionalDetrSelfAttention convbert.ConvBertSelfAttention
    cosmos3_edge.Cosmos3EdgeTextAttention cosmos3_edge.Cosmos3EdgeVisionAttention cpmant.CpmAntAttention
    csm.CsmAttention ctrl.MultiHeadAttention cwm.CwmAttention d_fine.DFineSelfAttention dab_detr.DetrAttention
    data2vec.data2vec_audio.Data2VecAudioAttention data2vec.data2vec_text.Data2VecTextCrossAttention
    data2vec.data2vec_text.Data2VecTextSelfAttention data2vec.data2vec_vision.Data2VecVisionSelfAttention
    deberta_v2.DisentangledSelfAttention deepseek_ocr2.DeepseekOcr2TextAttention
    deepseek_ocr2.DeepseekOcr2VisionAttention deformable_detr.DeformableDetrSelfAttention deimv2.Deimv2SelfAttention
    deit.DeiTAttention detr.DetrCrossAttention detr.DetrSelfAttention dia.DiaCrossAttention dia.DiaSelfAttention
    diffllama.DiffLlamaAttention dinat.NeighborhoodAttention dinov2.Dinov2Attention
    dinov2_with_registers.Dinov2WithRegistersAttention dinov3_vit.DINOv3ViTAttention
    distilbert.DistilBertSelfAttention doge.DogeAttention donut.donut_swin.DonutSwinSelfAttention
    dots1.Dots1Attention dots3_note.Dots3NoteAudioAttention dpt.DPTSelfAttention edgetam.EdgeTamAttention
    edgetam_video.EdgeTamVideoAttention edgetam_video.EdgeTamVideoPerceiverAttention
    edgetam_video.EdgeTamVideoRoPECrossAttention edgetam_video.EdgeTamVideoRoPESelfAttention
    efficientloftr.EfficientLoFTRAttention electra.ElectraCrossAttention electra.ElectraSelfAttention
    embedding_gemma2.EmbeddingGemma2Attention emu3.Emu3Attention emu3.Emu3VQVAEAttentionBlock eomt.EomtAttention
    eomt_dinov3.EomtDinov3Attention ernie.ErnieCrossAttention ernie.ErnieSelfAttention ernie4_5.Ernie4_5Attention
    ernie4_5_moe.Ernie4_5_MoeAttention ernie4_5_vl_moe.Ernie4_5_VLMoeTextAttention esm.EsmSelfAttention
    esmc.EsmcAttention esmfold2.EsmFold2AtomAttention esmfold2.EsmFold2DiffusionAttention eurobert.EuroBertAttention
    evolla.EvollaAttention evolla.EvollaSaProtSelfAttention exaone4.Exaone4Attention exaone4_5.Exaone4_5_Attention
    exaone_moe.ExaoneMoeAttention falcon_h1.FalconH1Attention fastspeech2_conformer.FastSpeech2ConformerAttention
    flaubert.MultiHeadAttention flava.FlavaSelfAttention flex_olmo.FlexOlmoAttention flint.FlintAttention
    fsmt.Attention fun_asr_nano.FunAsrNanoAttention gemma.GemmaAttention gemma2.Gemma2Attention
    gemma3.Gemma3Attention gemma3n.Gemma3nAudioAttention gemma3n.Gemma3nTextAttention gemma4.Gemma4AudioAttention
    gemma4.Gemma4VisionAttention git.GitSelfAttention git.GitVisionAttention glm.GlmAttention glm4.Glm4Attention
    glm4_moe.Glm4MoeAttention glm4v.Glm4vTextAttention glm4v_moe.Glm4vMoeTextAttention
    glm5_next.Glm5NextTextLinearAttention glm_image.GlmImageTextAttention glm_ocr.GlmOcrTextAttention
    glmasr.GlmAsrAttention glpn.GLPNEfficientSelfAttention gpt_neo.GPTNeoSelfAttention gpt_oss.GptOssAttention
    gptj.GPTJAttention gradium_phonon_tts.GradiumPhononTTSAttention granite.GraniteAttention
    granite4_vision.Granite4VisionTextAttention granite_docling.GraniteDoclingTextAttention
    granite_docling.GraniteDoclingVisionAttention granite_speech5.GraniteSpeech5EncoderAttention
    granite_swa.GraniteSWAAttention granitemoe.GraniteMoeAttention granitemoe_swa.GraniteMoeSWAAttention
    granitemoehybrid.GraniteMoeHybridAttention granitemoeshared.GraniteMoeSharedAttention
    grounding_dino.GroundingDinoMultiheadAttention groupvit.GroupViTAttention gte.GteAttention
    helium.HeliumAttention higgs_audio_v2.HiggsAudioV2Attention hrm_text.HrmTextAttention hubert.HubertAttention
    hunyuan_v1_dense.HunYuanDenseV1Attention hunyuan_v1_moe.HunYuanMoEV1Attention
    hunyuan_vl.HunYuanVLDenseV1Attention hunyuan_vl.HunYuanVLVisionAttention hy_v3.HYV3Attention
    hyperclovax.HyperCLOVAXAttention ibert.IBertSelfAttention idefics.IdeficsAttention
    idefics2.Idefics2PerceiverAttention idefics2.Idefics2VisionAttention idefics3.Idefics3VisionAttention
    ijepa.IJepaAttention informer.InformerAttention informer.InformerProbSparseAttention inkling.InklingAttention
    inkling2.Inkling2FullAttention inkling2.Inkling2SlidingAttention inkling2.Inkling2VisionAttention
    instructblip.InstructBlipQFormerMultiHeadAttention instructblipvideo.InstructBlipVideoQFormerMultiHeadAttention
    internvl.InternVLVisionAttention jais2.Jais2Attention jamba.JambaAttention janus.JanusVisionAttention
    jina_embeddings_v3.JinaEmbeddingsV3Attention kimi_k25.Kimi_K25VisionAttention
    kimi_linear.KimiLinearDeltaAttention kolibri1.Kolibri1Attention kosmos2.Kosmos2VisionAttention
    kosmos2.KosmosTextAttention kosmos2_5.Kosmos2_5TextAttention kosmos2_5.Kosmos2_5VisionAttention
    kyutai_speech_to_text.KyutaiSpeechToTextAttention laguna.LagunaAttention lasr.LasrEncoderAttention
    layoutlm.LayoutLMSelfAttention layoutlmv2.LayoutLMv2SelfAttention layoutlmv3.LayoutLMv3SelfAttention
    led.LEDDecoderAttention led.LEDEncoderSelfAttention lfm2.Lfm2Attention lfm2_moe.Lfm2MoeAttention
    lfm3.Lfm3Attention lfm3_vl.Lfm3VlVisionAttention lightglue.LightGlueAttention lilt.LiltSelfAttention
    llama.LlamaAttention llama4.Llama4TextAttention llama4.Llama4VisionAttention longformer.LongformerSelfAttention
    longt5.LongT5Attention longt5.LongT5LocalAttention longt5.LongT5TransientGlobalAttention luke.LukeSelfAttention
    lw_detr.LwDetrAttention lw_detr.LwDetrViTAttention lxmert.LxmertAttention m2m_100.M2M100Attention
    marian.MarianAttention markuplm.MarkupLMSelfAttention mask2former.Mask2FormerAttention
    maskformer.MaskFormerDetrCrossAttention maskformer.MaskFormerDetrSelfAttention
    maskformer.maskformer_swin.MaskFormerSwinSelfAttention mbart.MBartAttention
    megatron_bert.MegatronBertSelfAttention mellum.MellumAttention metaclip_2.MetaClip2Attention mimi.MimiAttention
    mimo_v2_flash.MiMoV2FlashAttention minicpm_ocr.MiniCPMOcrVisionAttention minicpmv4_6.MiniCPMV4_6VisionAttention
    minicpmv4_7.MiniCPMV4_7VisionAttention minimax.MiniMaxAttention minimax_m2.MiniMaxM2Attention
    minimax_m3_vl.MiniMaxM3VLAttention minimax_m3_vl.MiniMaxM3VLVisionAttention ministral.MinistralAttention
    ministral3.Ministral3Attention mistral.MistralAttention mixtral.MixtralAttention mlcd.MLCDAttention
    mllama.MllamaTextCrossAttention mllama.MllamaTextSelfAttention mllama.MllamaVisionAttention
    mm_grounding_dino.MMGroundingDinoMultiheadAttention mobilebert.MobileBertSelfAttention
    mobilevit.MobileViTSelfAttention modernbert_decoder.ModernBertDecoderAttention molmo2.Molmo2Attention
    molmo2.Molmo2VisionAttention moonshine.MoonshineAttention moonshine_streaming.MoonshineStreamingAttention
    moonshine_streaming.MoonshineStreamingEncoderAttention moshi.MoshiAttention
    moss_transcribe_diarize.MossTranscribeDiarizeAudioAttention mpnet.MPNetSelfAttention mra.MraSelfAttention
    mt5.MT5Attention muse_glimmer.MuseGlimmerTextAttention muse_glimmer.MuseGlimmerVisionAttention
    muse_glimmer_assistant.MuseGlimmerAssistantAttention muse_spark.MuseSparkTextAttention
    muse_spark.MuseSparkVisionAttention musicgen.MusicgenAttention musicgen_melody.MusicgenMelodyAttention
    mvp.MvpAttention nanochat.NanoChatAttention nemotron.NemotronAttention
    nemotron3_5_transcribe.Nemotron3_5TranscribeAttention nemotron3_diarization.Nemotron3DiarizationAttention
    nemotron_asr_streaming.NemotronAsrStreamingEncoderAttention nemotron_h.NemotronHAttention neomme.NeoMMEAttention
    neucodec.NeuCodecAttention nllb_moe.NllbMoeAttention nomic_bert.NomicBertAttention
    nystromformer.NystromformerSelfAttention olmo.OlmoAttention olmo2.Olmo2Attention olmo3.Olmo3Attention
    olmo_hybrid.OlmoHybridAttention olmoe.OlmoeAttention omdet_turbo.OmDetTurboMultiheadAttention
    oneformer.OneFormerAttention oneformer.OneFormerTextMapperAttention
    openai_privacy_filter.OpenAIPrivacyFilterAttention opt.OPTAttention ovis2.Ovis2VisionAttention
    owlv2.Owlv2Attention owlvit.OwlViTAttention paddleocr_vl.PaddleOCRAttention
    paddleocr_vl.PaddleOCRVisionAttention parakeet.ParakeetEncoderAttention patchtsmixer.PatchTSMixerAttention
    patchtst.PatchTSTAttention pe_audio.PeAudioEncoderAttention pe_audio_video.PeAudioVideoEncoderAttention
    pe_video.PeVideoEncoderAttention pegasus.PegasusAttention pegasus_x.PegasusXAttention
    pegasus_x.PegasusXGlobalLocalAttention perceiver.PerceiverSelfAttention phi.PhiAttention
    phi4_multimodal.Phi4MultimodalAudioAttention phi4_multimodal.Phi4MultimodalVisionAttention
    phimoe.PhimoeAttention pix2struct.Pix2StructTextAttention pix2struct.Pix2StructVisionAttention
    pixio.PixioAttention pixtral.PixtralAttention plbart.PLBartAttention pocket_tts.PocketTTSAttention
    pocket_tts_audio_tokenizer.PocketTTSAudioTokenizerAttention pop2piano.Pop2PianoAttention
    pp_doclayout_v2.PPDocLayoutV2ReadingOrderSelfAttention pp_doclayout_v2.PPDocLayoutV2SelfAttention
    pp_doclayout_v3.PPDocLayoutV3SelfAttention pp_doclayout_v4.PPDocLayoutV4SelfAttention
    pp_formulanet.PPFormulaNetAttention prophetnet.ProphetNetAttention prophetnet.ProphetNetNgramSelfAttention
    pvt.PvtEfficientSelfAttention pvt_v2.PvtV2SelfAttention qianfan_ocr.QianfanOCRVisionAttention
    qwen2.Qwen2Attention qwen2_5_omni.DiTAttention qwen2_5_omni.Qwen2_5OmniAttention
    qwen2_5_omni.Qwen2_5OmniAudioAttention qwen2_5_omni.Qwen2_5OmniVisionAttention qwen2_5_vl.Qwen2_5_VLAttention
    qwen2_audio.Qwen2AudioAttention qwen2_moe.Qwen2MoeAttention qwen2_vl.Qwen2VLAttention qwen3.Qwen3Attention
    qwen3_asr.Qwen3ASRAudioAttention qwen3_moe.Qwen3MoeAttention qwen3_omni_moe.Qwen3OmniMoeAudioAttention
    qwen3_omni_moe.Qwen3OmniMoeCode2WavAttention qwen3_omni_moe.Qwen3OmniMoeTalkerCodePredictorAttention
    qwen3_omni_moe.Qwen3OmniMoeThinkerTextAttention qwen3_vl.Qwen3VLTextAttention
    qwen3_vl_moe.Qwen3VLMoeTextAttention radio.RadioAttention recurrent_gemma.RecurrentGemmaAttention
    reformer.LocalSelfAttention rembert.RemBertSelfAttention rf_detr.RfDetrAttention rf_detr.RfDetrDinov2Attention
    roberta.RobertaCrossAttention roberta.RobertaSelfAttention
    roberta_prelayernorm.RobertaPreLayerNormCrossAttention roberta_prelayernorm.RobertaPreLayerNormSelfAttention
    roc_bert.RoCBertCrossAttention roc_bert.RoCBertSelfAttention roformer.RoFormerSelfAttention
    rt_detr.RTDetrSelfAttention rt_detr_v2.RTDetrV2SelfAttention sam.SamAttention sam2.Sam2Attention
    sam2_video.Sam2VideoAttention sam2_video.Sam2VideoRoPEAttention sam3.Sam3Attention sam3.Sam3ViTRoPEAttention
    sam3_lite_text.Sam3LiteTextAttention sam3_lite_text.Sam3LiteTextTextAttention sam3_tracker.Sam3TrackerAttention
    sam3_tracker_video.Sam3TrackerVideoAttention sam3_tracker_video.Sam3TrackerVideoRoPEAttention
    sam_hq.SamHQAttention sapiens2.Sapiens2Attention seamless_m4t.SeamlessM4TAttention
    seamless_m4t.SeamlessM4TConformerSelfAttention seamless_m4t_v2.SeamlessM4Tv2Attention
    seamless_m4t_v2.SeamlessM4Tv2ConformerSelfAttention seed_oss.SeedOssAttention segformer.SegformerAttention
    sew.SEWAttention sew_d.DisentangledSelfAttention siglip.SiglipAttention siglip2.Siglip2Attention
    smollm3.SmolLM3Attention smolvlm.SmolVLMVisionAttention solar_open.SolarOpenAttention
    speech_to_text.Speech2TextAttention speecht5.SpeechT5Attention splinter.SplinterSelfAttention
    squeezebert.SqueezeBertSelfAttention stablelm.StableLmAttention starcoder2.Starcoder2Attention
    step3p7.Step3p7Attention step3p7.Step3p7VisionAttention superglue.SuperGlueSelfAttention swin.SwinAttention
    swin2sr.Swin2SRSelfAttention swinv2.Swinv2SelfAttention switch_transformers.SwitchTransformersAttention
    t5.T5Attention t5gemma.T5GemmaCrossAttention t5gemma.T5GemmaSelfAttention t5gemma2.T5Gemma2MergedAttention
    t5gemma2.T5Gemma2SelfAttention table_transformer.TableTransformerAttention tapas.TapasSelfAttention
    time_series_transformer.TimeSeriesTransformerAttention timesfm.TimesFmAttention timesfm2_5.TimesFm2_5Attention
    tipsv2.Tipsv2TextAttention tipsv2.Tipsv2VisionAttention trocr.TrOCRAttention tvp.TvpAttention udop.UdopAttention
    ultrabert.UltrabertAttention umt5.UMT5Attention unispeech.UniSpeechAttention unispeech_sat.UniSpeechSatAttention
    unlimited_ocr.UnlimitedOcrAttention unlimited_ocr.UnlimitedOcrTextAttention vaultgemma.VaultGemmaAttention
    video_llama_3.VideoLlama3VisionAttention videomae.VideoMAESelfAttention videomt.VideomtAttention
    videoprism.VideoPrismAttention videoprism.VideoPrismMultiheadAttentionPoolingHead vilt.ViltSelfAttention
    visual_bert.VisualBertRegionToPhraseAttention visual_bert.VisualBertSelfAttention vit.ViTAttention
    vit_mae.ViTMAEAttention vit_msn.ViTMSNAttention vitpose_backbone.VitPoseBackboneSelfAttention vits.VitsAttention
    vivit.VivitAttention vjepa2.VJEPA2PoolerCrossAttention vjepa2.VJEPA2PoolerSelfAttention
    vjepa2.VJEPA2RopeAttention voxtral.VoxtralAttention voxtral_realtime.VoxtralRealtimeAttention
    voxtral_realtime.VoxtralRealtimeTextAttention wav2vec2.Wav2Vec2Attention wav2vec2_bert.Wav2Vec2BertSelfAttention
    wav2vec2_conformer.Wav2Vec2ConformerSelfAttention wavlm.WavLMAttention whisper.WhisperAttention
    x_clip.XCLIPAttention x_clip.XCLIPCrossAttention xcodec2.Xcodec2Attention xglm.XGLMAttention
    xlm.MultiHeadAttention xlm_roberta.XLMRobertaCrossAttention xlm_roberta.XLMRobertaSelfAttention
    xlm_roberta_xl.XLMRobertaXLCrossAttention xlm_roberta_xl.XLMRobertaXLSelfAttention xmod.XmodCrossAttention
    xmod.XmodSelfAttention yolos.YolosSelfAttention yoso.YosoSelfAttention zamba.ZambaAttention
    zamba2.Zamba2Attention zoedepth.ZoeDepthMultiheadAttention
"""

GATED = """
    qwen3_5.Qwen3_5Attention qwen3_5_moe.Qwen3_5MoeAttention qwen3_next.Qwen3NextAttention
    qwen4_exp.Qwen4ExpTextAttention
"""

BY_PART = """
    bark.BarkSelfAttention blip.BlipAttention blip_2.Blip2Attention cohere_compass.CohereCompassVisionAttention
    deepseek_ocr2.DeepseekOcr2SamVisionAttention dots3_note.Dots3NoteVisionAttention
    ernie4_5_vl_moe.Ernie4_5_VLMoeVisionAttention florence2.Florence2VisionWindowAttention
    glm4v.Glm4vVisionAttention glm4v_moe.Glm4vMoeVisionAttention glm5_next.Glm5NextVisionAttention
    glm_image.GlmImageVisionAttention glm_ocr.GlmOcrVisionAttention got_ocr2.GotOcr2VisionAttention
    hiera.HieraMaskUnitAttention instructblip.InstructBlipAttention instructblipvideo.InstructBlipVideoAttention
    mgp_str.MgpstrAttention modernbert.ModernBertAttention mpt.MptAttention openai.Attention
    pp_formulanet.PPFormulaNetVisionAttention pp_ocrv5_mobile_rec.PPOCRV5MobileRecAttention
    pp_ocrv5_server_rec.PPOCRV5ServerRecAttention pp_ocrv6_small_rec.PPOCRV6SmallRecAttention
    qwen2_5_vl.Qwen2_5_VLVisionAttention qwen2_vl.VisionAttention qwen3_5.Qwen3_5VisionAttention
    qwen3_5_moe.Qwen3_5MoeVisionAttention qwen3_omni_moe.Qwen3OmniMoeVisionAttention qwen3_vl.Qwen3VLVisionAttention
    qwen3_vl_moe.Qwen3VLMoeVisionAttention qwen4_exp.Qwen4ExpVisionAttention sam.SamVisionAttention
    sam2.Sam2MultiScaleAttention sam_hq.SamHQVisionAttention seggpt.SegGptAttention slanext.SLANeXtVisionAttention
    timesformer.TimesformerSelfAttention unlimited_ocr.UnlimitedOcrSamVisionAttention vitdet.VitDetAttention
"""

LATENT = """
    axk1.AXK1Attention axk2.AXK2Attention bailing_hybrid.BailingHybridAttention deepseek_v2.DeepseekV2Attention
    deepseek_v3.DeepseekV3Attention deepseek_v32.DeepseekV32Attention dots3_note.Dots3NoteTextAttention
    glm4_moe_lite.Glm4MoeLiteAttention glm5_next.Glm5NextTextAttention glm_moe_dsa.GlmMoeDsaAttention
    hy_v4.HYV4Attention kimi_linear.KimiLinearAttention longcat_flash.LongcatFlashMLA minicpm3.MiniCPM3Attention
    mistral4.Mistral4Attention mistral_large4.MistralLarge4TextAttention youtu.YoutuAttention
"""

WITHIN_SELF = """
    align.AlignTextAttention altclip.AltRobertaAttention bert.BertAttention bert_generation.BertGenerationAttention
    big_bird.BigBirdAttention bigbird_pegasus.BigBirdPegasusEncoderAttention blip.blip_text.BlipTextAttention
    bridgetower.BridgeTowerAttention bros.BrosAttention camembert.CamembertAttention canine.CanineAttention
    chinese_clip.ChineseCLIPTextAttention clap.ClapAudioAttention clap.ClapTextAttention convbert.ConvBertAttention
    data2vec.data2vec_text.Data2VecTextAttention deberta.DebertaAttention deberta_v2.DebertaV2Attention
    dinat.NeighborhoodAttentionModule donut.donut_swin.DonutSwinAttention electra.ElectraAttention
    ernie.ErnieAttention esm.EsmAttention evolla.EvollaSaProtAttention glpn.GLPNAttention ibert.IBertAttention
    layoutlm.LayoutLMAttention layoutlmv2.LayoutLMv2Attention layoutlmv3.LayoutLMv3Attention lilt.LiltAttention
    longformer.LongformerAttention luke.LukeAttention lxmert.LxmertSelfAttentionLayer markuplm.MarkupLMAttention
    maskformer.maskformer_swin.MaskFormerSwinAttention megatron_bert.MegatronBertAttention
    mobilebert.MobileBertAttention mra.MraAttention nystromformer.NystromformerAttention
    perceiver.PerceiverAttention pp_doclayout_v2.PPDocLayoutV2ReadingOrderAttention pvt.PvtAttention
    rembert.RemBertAttention roberta.RobertaAttention roberta_prelayernorm.RobertaPreLayerNormAttention
    roc_bert.RoCBertAttention roformer.RoFormerAttention sew_d.SEWDAttention splinter.SplinterAttention
    swin2sr.Swin2SRAttention swinv2.Swinv2Attention tapas.TapasAttention visual_bert.VisualBertAttention
    xlm_roberta.XLMRobertaAttention xlm_roberta_xl.XLMRobertaXLAttention xmod.XmodAttention yoso.YosoAttention
"""

WITHIN_ATTENTION = """
    cvt.CvtAttention dpt.DPTViTAttention flava.FlavaAttention mobilevit.MobileViTAttention
    squeezebert.SqueezeBertModule timesformer.TimeSformerAttention videomae.VideoMAEAttention vilt.ViltAttention
    vitpose_backbone.VitPoseBackboneAttention yolos.YolosAttention
"""
