package pocketgan.app.camera

import android.util.Range
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import pocketgan.camera.DisplayTime
import pocketgan.camera.DisplayTimes

/** What is computed from what Android tells of cameras and displays. */
@RunWith(RobolectricTestRunner::class)
class CameraFactsTest {
    @Test
    fun `the highest fixed rate that the size allows is chosen`() {
        val ranges = listOf(Range(15, 30), Range(30, 30), Range(15, 60), Range(60, 60), Range(24, 24))
        assertEquals(Range(60, 60), rate(ranges, shortestNs = 0))
        assertEquals(Range(60, 60), rate(ranges, shortestNs = 16_666_667))
        assertEquals(Range(30, 30), rate(ranges, shortestNs = 33_333_333))
        assertEquals(Range(24, 24), rate(ranges, shortestNs = 40_000_000))
    }

    @Test
    fun `without a fixed rate the one that falls least is chosen`() {
        assertEquals(Range(15, 30), rate(listOf(Range(7, 30), Range(15, 30), Range(15, 20)), shortestNs = 0))
        assertEquals(Range(30, 30), rate(emptyList(), shortestNs = 0))
    }

    @Test
    fun `time that the phone slept is the look's that was disturbed least`() {
        // Of three looks the one that took 10 ns is believed: 8,005 on one clock is 1,005 on the other.
        val monotonic = (listOf<Long>(0, 500, 1000, 1010, 2000, 2900) + List(12) { it * 1_000_000L }).iterator()
        val boot = (listOf<Long>(7_400, 8_005, 9_999) + List(6) { 0L }).iterator()
        assertEquals(7_000, bootAheadNs(monotonic = monotonic::next, boot = boot::next))
    }

    @Test
    fun `stamps of a clock that goes on in sleep are put on the one of the frames`() {
        val hour = 3_600_000_000_000
        assertEquals(40, SensorClock(realtime = true, bootAheadNs = hour).monotonic(hour + 40, arrivedNs = 90))
        assertEquals(40, SensorClock(realtime = false, bootAheadNs = hour).monotonic(40, arrivedNs = 90))
    }

    @Test
    fun `a camera that does not say its clock has the one by which its first frame has just come`() {
        val hour = 3_600_000_000_000
        val clock = SensorClock(realtime = false, bootAheadNs = hour)
        assertEquals(40, clock.monotonic(hour + 40, arrivedNs = 90))
        assertEquals(70, clock.monotonic(hour + 70, arrivedNs = 120))
    }

    @Test
    fun `a phone held any way shows what is up as up`() {
        // Sensors of phones lie across: 90 degrees behind, 270 in front. Android's display degrees go against the clock.
        assertEquals(Upright(90, mirrored = false), Upright.of(sensor = 90, display = 0, front = false))
        assertEquals(Upright(0, mirrored = false), Upright.of(sensor = 90, display = 90, front = false))
        assertEquals(Upright(180, mirrored = false), Upright.of(sensor = 90, display = 270, front = false))
        assertEquals(Upright(270, mirrored = true), Upright.of(sensor = 270, display = 0, front = true))
        assertEquals(Upright(0, mirrored = true), Upright.of(sensor = 270, display = 90, front = true))
    }

    @Test
    fun `a picture is foreseen on the screen at the first frame whose deadline it meets`() {
        val forecast = Forecast(longArrayOf(100, 200, 300), longArrayOf(150, 250, 350))
        assertEquals(150, forecast.presentation(100))
        assertEquals(250, forecast.presentation(101))
        assertNull(forecast.presentation(301))
    }

    @Test
    fun `the moment of the hand-over is an estimate`() {
        val times = DisplayTimes()
        HandOver(times).posted(0, 42)
        assertEquals(listOf<DisplayTime?>(DisplayTime(42, estimated = true)), times.await(1, 0))
    }

    @Test
    fun `the rate that is shown is that of the last second`() {
        val rate = FrameRate()
        assertNull(rate.perSecond(0))
        for (frame in 0..30) rate.frame(frame * 40_000_000L)
        assertEquals(25.0, rate.perSecond(1_200_000_000)!!, absoluteTolerance = 1e-9)
        assertNull(rate.perSecond(5_000_000_000))
    }
}
