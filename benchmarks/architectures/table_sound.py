"""What is special about models of sound, and of other series."""

from __future__ import annotations

from .entry import Entry, bools, floats, ids, normal, ones, zeros

_HIFIGAN = {"upsample_initial_channel": 64}
_SERIES = {
    "past_values": normal(1, 39),
    "past_time_features": normal(1, 39, 1),
    "past_observed_mask": floats(1, 39),
    "future_values": normal(1, 4),
    "future_time_features": normal(1, 4, 1),
}
_SERIES_CONFIG = {"prediction_length": 4, "context_length": 32, "num_time_features": 1}

SOUND: dict[str, Entry] = {
    "autoformer": Entry(_SERIES_CONFIG, inputs=_SERIES),
    "informer": Entry(_SERIES_CONFIG, inputs=_SERIES),
    "time_series_transformer": Entry(_SERIES_CONFIG, inputs=_SERIES),
    "clap": Entry(scale=8),
    "clvp": Entry(scale=4),
    "clvp_encoder": Entry(scale=4),
    "mimi": Entry(scale=8),
    "mimi_decoder": Entry(scale=8, inputs={"latents": normal(1, 64, 12)}),
    "univnet": Entry(scale=4),
    "neucodec": Entry(scale=8),
    "pocket_tts": Entry(scale=8),
    "gradium_phonon_tts": Entry(scale=8),
    "fun_asr_nano": Entry(scale=8),
    "pp_formulanet": Entry(scale=8),
    "bark": Entry(part="semantic", note="its semantic model: the whole one has no forward"),
    "fastspeech2_conformer_hifigan": Entry(_HIFIGAN, inputs={"spectrogram": normal(1, 12, 32)}),
    "speecht5_hifigan": Entry(_HIFIGAN, inputs={"spectrogram": normal(1, 12, 32)}),
    "speecht5": Entry(
        inputs={"input_values": normal(1, 4000), "decoder_input_values": normal(1, 6, 32)},
        cls="SpeechT5ForSpeechToSpeech",
    ),
    "higgs_audio_v2_tokenizer": Entry(missing="needs the package torchaudio"),
    "audioflamingo3_encoder": Entry(inputs={"input_features": normal(1, 32, 64), "input_features_mask": ones(1, 64)}),
    "gemma3n_audio": Entry(inputs={"audio_mel": normal(1, 64, 32), "audio_mel_mask": bools(1, 64, value=False)}),
    "qwen2_5_omni_bigvgan": Entry({"upsample_initial_channel": 128}, inputs={"mel_spectrogram": normal(1, 32, 12)}),
    "timesfm": Entry(
        inputs={"past_values": normal(1, 64), "past_values_padding": floats(1, 64, value=0.0), "freq": zeros(1, 1)}
    ),
    "phi4_multimodal_audio": Entry(scale=8, inputs={"hidden_states": normal(1, 64, 80), "mask": ones(1, 64)}),
    "nemotron3_5_transcribe_word_timestamp": Entry(inputs={"inputs_embeds": normal(1, 12, 32)}),
    "inkling_audio": Entry(inputs={"audio_input_ids": ids(1, 12, 32)}),
    "dia": Entry(inputs={"decoder_input_ids": ids(1, 6, 9)}),
    "dia_decoder": Entry(inputs={"input_ids": ids(1, 6, 9), "encoder_hidden_states": normal(1, 4, 32)}),
    "kyutai_speech_to_text": Entry(inputs={"input_ids": ids(1, 6, 33)}),
    "fun_asr_nano_encoder": Entry(inputs={"input_features": normal(1, 12, 224), "input_features_mask": ones(1, 12)}),
    "gemma4_audio": Entry(inputs={"input_features": normal(1, 64, 128), "attention_mask": bools(1, 64)}),
    "granite_speech_encoder": Entry(inputs={"hidden_states": normal(1, 12, 160)}),
    "granite_speech_plus_encoder": Entry(inputs={"hidden_states": normal(1, 12, 160)}),
    "granite_speech5_encoder": Entry(inputs={"input_features": normal(1, 64, 128)}),
    "granite_speech5_ctc": Entry(inputs={"input_features": normal(1, 64, 128)}),
    "moonshine_streaming": Entry({"num_key_value_heads": 4}),
    "musicgen_decoder": Entry(inputs={"input_ids": ids(4, 6)}),
    "musicgen_melody_decoder": Entry(inputs={"input_ids": ids(4, 6)}),
    "qwen2_5_omni_audio_encoder": Entry(inputs={"input_features": normal(32, 64), "feature_lens": [64]}),
    "qwen3_omni_moe_audio_encoder": Entry(inputs={"input_features": normal(32, 64), "feature_lens": [64]}),
    "qwen3_omni_moe_talker_code_predictor": Entry(inputs={"input_ids": None, "inputs_embeds": normal(1, 4, 32)}),
    "dots3_note_audio_encoder": Entry(inputs={"input_features": normal(1, 128, 64), "chunk_sample_lengths": [10240]}),
    "pocket_tts_audio_tokenizer_decoder": Entry(inputs={"latents": normal(1, 32, 12)}),
    "qwen2_5_omni_dit": Entry(
        inputs={
            "hidden_states": normal(1, 12, 32),
            "condition_vector": normal(1, 12, 32),
            "speaker_embedding": normal(1, 12, 32),
            "quantized_code": ids(1, 6),
            "time_step": floats(1),
        }
    ),
    "qwen2_5_omni_token2wav": Entry(
        {"bigvgan_config.upsample_initial_channel": 128},
        inputs={
            "code": ids(1, 6),
            "conditioning": normal(1, 32),
            "reference_mel": normal(1, 12, 32),
            "num_steps": 2,
        },
    ),
    "voxtral_realtime_text": Entry(inputs={"t_cond": normal(1, 1, 32)}),
    "xcodec2": Entry(scale=8, inputs={"input_values": normal(1, 1, 3840), "input_features": normal(1, 12, 20)}),
    "moshi_depth": Entry({"input_size": 32}, inputs={"input_ids": ids(1, 6), "last_hidden_state": normal(1, 1, 32)}),
    "vibevoice_acoustic_tokenizer_encoder": Entry(
        {"num_filters": 4, "hidden_size": 16}, inputs={"hidden_states": normal(1, 1, 3840)}
    ),
    "vibevoice_acoustic_tokenizer_decoder": Entry(
        {"num_filters": 4, "hidden_size": 16}, inputs={"hidden_states": normal(1, 16, 12)}
    ),
    "vibevoice_acoustic_tokenizer": Entry({"num_filters": 4, "hidden_size": 16}),
    "encodec": Entry(scale=8),
    "dac": Entry(scale=8),
    "musicgen": Entry(
        {"audio_encoder.num_filters": 4},
        cls="MusicgenForConditionalGeneration",
        inputs={"decoder_input_ids": ids(4, 6)},
    ),
    "musicgen_melody": Entry(
        {"audio_encoder.num_filters": 4},
        cls="MusicgenMelodyForConditionalGeneration",
        inputs={"decoder_input_ids": ids(4, 6)},
    ),
    "voxtral_realtime": Entry(inputs={"input_ids": ids(1, 8), "input_features": normal(1, 32, 64)}),
    "qwen3_asr_encoder": Entry(
        inputs={"input_features": normal(1, 32, 100), "input_features_mask": ones(1, 100)},
    ),
}
