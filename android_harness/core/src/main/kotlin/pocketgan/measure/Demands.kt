package pocketgan.measure

import pocketgan.schema.ClockRegime
import pocketgan.schema.Conditions
import pocketgan.schema.Job

/**
 * What a Job asks of the device at every look: energy is that of the battery alone, and a held clock is read back.
 *
 * @throws RefusedException the device is not so; one line that says what to do.
 */
internal fun mustSuit(job: Job, state: Conditions) {
    if (job.clock == ClockRegime.PINNED && state.frequencyMhz == null) {
        throw RefusedException(
            "the clock was to be held, and an app may not read its frequency here: leave --clock pinned out, or " +
                "measure with --via shell",
        )
    }
    if (!job.energy) return
    if (state.charging != false) {
        val why = if (state.charging == null) "the phone does not tell whether a charger is on it" else "a charger is on the phone"
        throw RefusedException("$why: energy is the battery's alone; unplug it, and reach it over Wi-Fi (adb connect)")
    }
    if (state.currentA == null || state.voltageV == null) {
        throw RefusedException("the phone does not tell its battery's current and voltage: measure without --energy")
    }
}
