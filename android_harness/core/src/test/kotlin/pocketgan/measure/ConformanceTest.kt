package pocketgan.measure

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import pocketgan.schema.WarmedUp
import pocketgan.schema.Warmup

/** The vectors of bench/schema/conformance, which every language runs. */
class ConformanceTest {
    @Serializable
    private class Vectors<T>(val about: String, val cases: List<T>)

    @Serializable
    private class WarmupCase(
        val name: String,
        val warmup: Warmup,
        @SerialName("frames_ns") val framesNs: List<Long>,
        val iterations: Long,
        @SerialName("duration_ns") val durationNs: Long,
        val steady: Boolean,
    )

    @Serializable
    private class TurnsCase(val models: Int, val rounds: Int, val turns: List<List<Int>>)

    @Serializable
    private class RoundsCase(val iterations: Long, val rounds: Long, val frames: List<Long>)

    @Test
    fun `warm-up ends where the vectors say`() {
        for (case in cases<WarmupCase>("warmup")) {
            val clock = ScriptedClock()
            var number = 0
            val warmed = warmUp(case.warmup, clock) {
                val time = case.framesNs[minOf(number++, case.framesNs.lastIndex)]
                clock.passes(time)
                time
            }
            assertEquals(WarmedUp(case.iterations, case.durationNs, case.steady), warmed, case.name)
        }
    }

    @Test
    fun `models take turns in the order of the vectors`() {
        for (case in cases<TurnsCase>("turns")) assertEquals(case.turns, turns(case.models, case.rounds))
    }

    @Test
    fun `iterations are split into rounds as the vectors say`() {
        for (case in cases<RoundsCase>("rounds")) {
            assertEquals(case.frames, framesOfRounds(case.iterations, case.rounds))
        }
    }

    private inline fun <reified T> cases(name: String): List<T> {
        val file = File(System.getProperty("pocketgan.schema"), "conformance/$name.json")
        val cases = Json.decodeFromString<Vectors<T>>(file.readText()).cases
        assertTrue(cases.isNotEmpty())
        return cases
    }
}

/** A clock that only the test moves. */
internal class ScriptedClock(private var nowNs: Long = 1_000) : NanoClock {
    fun passes(nanoseconds: Long) {
        nowNs += nanoseconds
    }

    override fun now(): Long = nowNs
}
